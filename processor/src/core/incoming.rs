//! What the core takes in.

use bytes::Bytes;
use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_queue::{Delivery, Origin};
use ronda_schemas::direct::{ID_HEADERS, digest_of};
use ronda_schemas::frame::Frame;
use ronda_schemas::row::Scopes;

use crate::dead_letter::REDRIVEN;

/// A message of the command queue.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it is, on queues that have positions; elsewhere the core counts.
    pub position: Option<u64>,
    /// The message itself.
    pub message: Bytes,
    /// Who published it, if it was not a gateway. What is `None` is a frame, and nothing else is, whatever its bytes look like.
    pub direct: Option<Box<Direct>>,
}

/// Where a message comes from that no gateway sent.
#[derive(Clone, Debug)]
pub struct Direct {
    /// What the broker says of it, without anybody's credentials.
    pub origin: Origin,
    /// Whose it is and what its publisher may do, or why it is not taken.
    pub access: Result<Access, Denied>,
}

/// Whose a message is, and what its publisher may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whose.
    pub tenant: TenantId,
    /// What: `ingest` to report and register, `admin` to delete, pause and resume.
    pub scopes: Scopes,
}

/// Why a message is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Machine-readable: `unauthorized`, `bad_tenant`.
    pub code: &'static str,
    /// For a person.
    pub detail: String,
}

impl Incoming {
    /// A gateway's message.
    #[must_use]
    pub const fn frame(position: Option<u64>, message: Bytes) -> Self {
        Self { position, message, direct: None }
    }

    /// A message as the queue delivered it; `direct` for one that has an origin.
    pub(crate) fn new(delivery: Delivery, direct: Option<Box<Direct>>) -> Self {
        let Delivery { position, message, .. } = delivery;
        Self { position: position.map(|position| position.0), message, direct }
    }

    /// It was taken out of the queue at this time, which counts for a direct message if the broker doesn't say when it took it and there is
    /// no clock.
    pub(crate) fn taken_at(&mut self, now_ms: i64) {
        if let Some(direct) = &mut self.direct {
            direct.origin.published_ms.get_or_insert(now_ms);
        }
    }

    /// When its gateway closed it, if it is a frame that can be read.
    pub(crate) fn wall(&self) -> Option<Timestamp> {
        self.as_frame().map(|frame| frame.header.wall)
    }

    pub(crate) fn as_frame(&self) -> Option<Frame<'_>> {
        if self.direct.is_some() { None } else { Frame::decode(&self.message).ok() }
    }

    /// By what it is known again, if it has an id. What its publisher may do belongs to it: one that was refused may be sent again with a
    /// better key.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        let direct = self.direct.as_deref()?;
        let redriven = direct.origin.header(REDRIVEN).unwrap_or_default();
        let (word, scopes) = match &direct.access {
            Ok(access) => (access.tenant.as_str(), access.scopes),
            Err(denied) => (denied.code, Scopes::default()),
        };
        let may = [direct.access.is_ok(), scopes.ingest, scopes.admin].map(u8::from);
        let parts = [
            b"again".as_slice(),
            direct.origin.source.as_bytes(),
            direct.id()?.as_bytes(),
            redriven.as_bytes(),
            word.as_bytes(),
            &may,
            &self.message,
        ];
        let [fingerprint, _] = digest_of(&parts);
        Some(fingerprint)
    }
}

impl Direct {
    /// What its publisher or the broker calls the message.
    pub(super) fn id(&self) -> Option<&str> {
        let own = ID_HEADERS.into_iter().find_map(|name| self.origin.header(name));
        own.or(self.origin.message_id.as_deref()).filter(|id| !id.is_empty())
    }
}

/// A message that is being taken in, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) position: u64,
    pub(super) incoming: &'a Incoming,
}

impl<'a> Place<'a> {
    pub(super) fn direct(self) -> Option<&'a Direct> {
        self.incoming.direct.as_deref()
    }
}
