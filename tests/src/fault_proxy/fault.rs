//! What can be done to a request.

use std::time::Duration;

use http::{Method, Uri};
use rustix::process::Signal;

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and the server never hears of the request.
    KillBefore,
    /// `kill -9` after the server has done what was asked, before the answer.
    KillAfter,
    /// A signal before the server hears of the request, which then goes its way.
    SignalBefore(Signal),
    /// A signal after the server's answer, which then goes its way.
    SignalAfter(Signal),
    /// The request arrives late.
    Delay(Duration),
    /// The request arrives when the test lets it.
    Hold,
    /// The connection closes; the server never hears of the request.
    HangUpBefore,
    /// The connection closes after the server has done what was asked.
    HangUpAfter,
    /// The connection stays open, but the server never hears of the request.
    NoAnswerBefore,
    /// The connection stays open after the server has done what was asked, without an answer.
    NoAnswerAfter,
    /// Half of the answer, then the connection closes.
    Truncate,
    /// The server is said to have answered with this status; it never hears of the request.
    Refuse(u16),
    /// The server is said to be too busy, as it says so itself: by a line of text, and by a header that tells after how many
    /// seconds to ask again.
    Busy(u16),
    /// A watch: the server is said to have forgotten that version (410 in the stream). Others: 410.
    Expired,
    /// A watch that breaks off after a while.
    CutAfter(Duration),
    /// A watch that opens and never says anything.
    Silent,
}

/// The kinds of request that faults tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A watch.
    Watch,
    /// A get or a list.
    Read,
    /// Everything else.
    Write,
}

impl RequestKind {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        if method != Method::GET {
            Self::Write
        } else if query.split('&').any(|part| part == "watch=true" || part == "watch=1") {
            Self::Watch
        } else {
            Self::Read
        }
    }
}
