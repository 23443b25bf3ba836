//! The way to Slack, which can be closed: then nobody listens where it was.

use std::net::SocketAddr;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// See the module.
pub(crate) struct Road {
    address: SocketAddr,
    to: SocketAddr,
    traffic: Mutex<Option<JoinHandle<()>>>,
}

impl Road {
    /// An open one.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, to, traffic: Mutex::new(Some(tokio::spawn(pass(listener, to)))) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends what is on it, and takes nothing more.
    pub(crate) async fn close(&self) {
        let traffic = self.traffic.lock().take().unwrap();
        traffic.abort();
        assert!(traffic.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn open(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        *self.traffic.lock() = Some(tokio::spawn(pass(listener, self.to)));
    }
}

async fn pass(listener: TcpListener, to: SocketAddr) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    while let Ok((mut from, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut to = TcpStream::connect(to).await.unwrap();
            // It ends however it ends: one of both has had enough.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        });
    }
}
