//! A TCP link between a client and a server that can be made to fail.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the link does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes nothing on, either way, and keeps connections open: whoever is behind it seems to stand still. What was held is passed on later.
    Freeze,
    /// Passes on what the client sends, and drops what the server answers: the next mode then has to be `Cut`.
    LoseAnswers,
    /// Ends every connection, and takes no new one.
    Cut,
}

/// What its connections watch.
#[derive(Clone, Copy)]
struct Now {
    mode: Mode,
    /// How often it was cut: a connection ends with the cut after its beginning, also when the link has passed again since.
    cuts: u64,
}

/// A link to one server, with an address of its own. It ends with its value.
pub struct Link {
    address: SocketAddr,
    now: watch::Sender<Now>,
    task: JoinHandle<()>,
}

impl Link {
    /// Makes a link to a server.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn to(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let now = watch::Sender::new(Now { mode: Mode::Pass, cuts: 0 });
        let sender = now.clone();
        let task = tokio::spawn(async move {
            // Ends with the link, and so do its connections, which wait for modes.
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, sender.subscribe()));
            }
        });
        Ok(Self { address, now, task })
    }

    /// What the client connects to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, also with connections that are open.
    pub fn set(&self, mode: Mode) {
        self.now.send_modify(|now| {
            now.mode = mode;
            now.cuts += u64::from(mode == Mode::Cut);
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Mode::Cut);
    }
}

async fn connection(client: TcpStream, server: SocketAddr, mut link: watch::Receiver<Now>) {
    let Now { mode, cuts } = *link.borrow();
    if mode == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let requests = pass(client_read, server_write, link.clone(), false);
    let answers = pass(server_read, client_write, link.clone(), true);
    tokio::select! {
        _ = link.wait_for(|now| now.cuts > cuts) => {}
        () = requests => {}
        () = answers => {}
    }
}

/// Passes bytes on in one direction until the connection ends.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Now>, are_answers: bool) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(mode) = link.wait_for(|now| now.mode != Mode::Freeze).await.map(|now| now.mode) else { return };
        if mode == Mode::LoseAnswers && are_answers {
            continue;
        }
        let Some(bytes) = buffer.get(..read) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn answer(stream: &mut TcpStream) -> Option<[u8; 2]> {
        let mut bytes = [0; 2];
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut bytes)).await;
        read.ok()?.ok().map(|_| bytes)
    }

    #[tokio::test]
    async fn a_link_passes_holds_loses_and_cuts() {
        let link = Link::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        stream.write_all(b"ab").await.unwrap();
        assert_eq!(answer(&mut stream).await, Some(*b"ab"));
        link.set(Mode::Freeze);
        stream.write_all(b"cd").await.unwrap();
        assert_eq!(answer(&mut stream).await, None);
        link.set(Mode::Pass);
        assert_eq!(answer(&mut stream).await, Some(*b"cd"));
        link.set(Mode::LoseAnswers);
        stream.write_all(b"ef").await.unwrap();
        assert_eq!(answer(&mut stream).await, None);
        link.set(Mode::Cut);
        link.set(Mode::Pass);
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "cut, though it passes again");
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        stream.write_all(b"gh").await.unwrap();
        assert_eq!(answer(&mut stream).await, Some(*b"gh"));
    }
}
