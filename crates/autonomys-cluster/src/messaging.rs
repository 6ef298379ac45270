//! Sending and serving the messages: typed publish, subscribe, request and serve over one connection.

use crate::cluster::Cluster;
use crate::codec::{self, CodecError, Message, cut};
use crate::ids::InstanceId;
use crate::messages::{Broadcast, DirectRequest, QueueRequest, Request};
use async_nats::{RequestErrorKind, Subscriber};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use parity_scale_codec::{Decode, DecodeAll, Encode};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tracing::warn;

mod serve;

pub use serve::{ServeLimits, Service};

/// The server could not be given the message.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum TransportError {
    /// The message cannot be sent at all.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The client is closed or the server refused.
    #[error("NATS did not take {what}: {reason}")]
    Nats {
        /// The message or subject.
        what: String,
        /// The client's words.
        reason: String,
    },
}

/// Why somebody will not do what he was asked.
#[derive(Debug, Clone, Error, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// Busy; another one, or the same one a little later, may do it.
    #[codec(index = 0)]
    #[error("it has no free slot")]
    Overloaded,
    /// The request itself is wrong; nobody will do it.
    #[codec(index = 1)]
    #[error("the request is invalid: {0}")]
    Invalid(String),
    /// It should have worked.
    #[codec(index = 2)]
    #[error("it failed: {0}")]
    Failed(String),
    /// Another release.
    #[codec(index = 3)]
    #[error(
        "it knows version {known} of the request only, ours is {found}; bring both sides to the same release"
    )]
    UnknownVersion {
        /// What the asker sent.
        found: u8,
        /// What the answerer knows.
        known: u8,
    },
    /// It would not be done in the time that the asker has. Sent only to those whose request names a time.
    #[codec(index = 4)]
    #[error("it would take {needed_ms} ms more, and only {left_ms} ms are left")]
    TooLate {
        /// Milliseconds that it would take.
        needed_ms: u32,
        /// Milliseconds that the asker has.
        left_ms: u32,
    },
    /// It works on this very request already; another member may do it as well. Sent only to those whose request names a time.
    #[codec(index = 5)]
    #[error("it works on the same request already")]
    AlreadyWorking,
}

impl Refusal {
    /// Longest reason that travels, in bytes.
    pub const MAX_REASON: usize = 1024;

    fn cut(self) -> Self {
        match self {
            Self::Invalid(reason) => Self::Invalid(cut(&reason, Self::MAX_REASON)),
            Self::Failed(reason) => Self::Failed(cut(&reason, Self::MAX_REASON)),
            other => other,
        }
    }
}

impl From<CodecError> for Refusal {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::UnknownVersion { found, known, .. } => Self::UnknownVersion { found, known },
            other => Self::Invalid(other.to_string()),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum RequestError {
    /// The server knows nobody who serves it: the request was certainly not received.
    #[error("nobody in the cluster serves {what}")]
    NoResponders {
        /// The request.
        what: String,
    },
    /// No answer in time: whether the request was received is unknown.
    #[error("{what} was not answered within {} ms", after.as_millis())]
    Timeout {
        /// The request.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// Somebody answered that he will not.
    #[error("{what} was refused: {refusal}")]
    Refused {
        /// The request.
        what: String,
        /// The reason.
        refusal: Refusal,
    },
    /// It could not be sent, or the answer is not what it should be.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl From<CodecError> for RequestError {
    fn from(error: CodecError) -> Self {
        Self::Transport(error.into())
    }
}

/// First byte of every reply: the layout of what wraps the response.
const REPLY_VERSION: u8 = 1;
/// Second byte: the response follows, version byte first.
const REPLY_RESPONSE: u8 = 0;
/// Second byte: a [`Refusal`] follows.
const REPLY_REFUSAL: u8 = 1;

fn encode_reply<M: Message>(result: Result<M, Refusal>) -> Bytes {
    let result = result.and_then(|message| {
        codec::encode(&message).map_err(|error| Refusal::Failed(format!("the answer does not fit: {error}")))
    });
    let mut reply = BytesMut::new();
    reply.put_u8(REPLY_VERSION);
    match result {
        Ok(response) => {
            reply.put_u8(REPLY_RESPONSE);
            reply.put(response);
        }
        Err(refusal) => {
            reply.put_u8(REPLY_REFUSAL);
            reply.put_slice(&refusal.cut().encode());
        }
    }
    reply.freeze()
}

fn decode_reply<M: Message>(bytes: &[u8]) -> Result<Result<M, Refusal>, CodecError> {
    let malformed = |reason: &str| CodecError::Malformed {
        message: M::NAME,
        reason: reason.to_owned(),
    };
    match bytes {
        [REPLY_VERSION, REPLY_RESPONSE, response @ ..] => codec::decode(response).map(Ok),
        [REPLY_VERSION, REPLY_REFUSAL, refusal @ ..] => {
            let mut refusal = refusal.get(..2 * Refusal::MAX_REASON).unwrap_or(refusal);
            Refusal::decode_all(&mut refusal)
                .map(Err)
                .map_err(|error| malformed(&error.to_string()))
        }
        [REPLY_VERSION, ..] => Err(malformed("the reply is neither a response nor a refusal")),
        [found, ..] => Err(CodecError::UnknownVersion {
            message: M::NAME,
            found: *found,
            known: REPLY_VERSION,
        }),
        [] => Err(malformed("it is empty")),
    }
}

impl Cluster {
    /// Tells everybody who listens.
    ///
    /// # Errors
    /// [`TransportError`] when the message cannot be handed to the client; delivery is not confirmed.
    pub async fn broadcast<B: Broadcast>(&self, message: &B) -> Result<(), TransportError> {
        let payload = codec::encode(message)?;
        self.client()
            .publish(self.subjects().broadcast(B::NAME), payload)
            .await
            .map_err(|error| TransportError::Nats {
                what: B::NAME.to_owned(),
                reason: error.to_string(),
            })
    }

    /// Listens to a broadcast; the subscription lives through reconnects.
    ///
    /// # Errors
    /// [`TransportError`] when the client is closed.
    pub async fn subscribe<B: Broadcast>(&self) -> Result<Subscription<B>, TransportError> {
        let subscriber = self
            .raw_subscribe(self.subjects().broadcast(B::NAME), None)
            .await?;
        Ok(Subscription {
            subscriber,
            message: PhantomData,
        })
    }

    /// Asks one named instance.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::NoResponders`] means that it was certainly not received.
    pub async fn request<R: DirectRequest>(
        &self,
        instance: InstanceId,
        request: &R,
    ) -> Result<R::Response, RequestError> {
        let what = || format!("{} of {instance}", R::NAME);
        self.ask(
            self.subjects().instance(instance, R::NAME),
            request,
            R::TIMEOUT,
            what,
        )
        .await
    }

    /// Asks any one member of the queue group.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn queue_request<R: QueueRequest>(&self, request: &R) -> Result<R::Response, RequestError> {
        self.queue_request_within(request, R::TIMEOUT).await
    }

    /// Asks any one member of the queue group and waits no longer than `timeout`, for an asker with a deadline of his own.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn queue_request_within<R: QueueRequest>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, RequestError> {
        self.ask(self.subjects().queue(R::NAME), request, timeout, || {
            R::NAME.to_owned()
        })
        .await
    }

    async fn ask<R: Request>(
        &self,
        subject: String,
        request: &R,
        timeout: Duration,
        what: impl Fn() -> String,
    ) -> Result<R::Response, RequestError> {
        let payload = codec::encode(request)?;
        let request = async_nats::Request::new().payload(payload).timeout(Some(timeout));
        // The client's own clock starts after the request was queued; a full queue must not wait for ever.
        let message = tokio::time::timeout(timeout, self.client().send_request(subject, request))
            .await
            .map_err(|_| RequestError::Timeout {
                what: what(),
                after: timeout,
            })?
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders { what: what() },
                RequestErrorKind::TimedOut => RequestError::Timeout {
                    what: what(),
                    after: timeout,
                },
                _ => TransportError::Nats {
                    what: what(),
                    reason: error.to_string(),
                }
                .into(),
            })?;
        decode_reply::<R::Response>(&message.payload)?.map_err(|refusal| RequestError::Refused {
            what: what(),
            refusal,
        })
    }

    pub(crate) async fn raw_subscribe(
        &self,
        subject: String,
        queue: Option<&str>,
    ) -> Result<Subscriber, TransportError> {
        let what = subject.clone();
        let subscribed = match queue {
            Some(queue) => self.client().queue_subscribe(subject, queue.to_owned()).await,
            None => self.client().subscribe(subject).await,
        };
        subscribed.map_err(|error| TransportError::Nats {
            what,
            reason: error.to_string(),
        })
    }
}

/// Broadcasts of one kind, as a stream that ends only when the connection is closed for good.
///
/// What cannot be decoded is logged and left out.
#[derive(Debug)]
pub struct Subscription<B> {
    subscriber: Subscriber,
    message: PhantomData<fn() -> B>,
}

impl<B: Broadcast> Stream for Subscription<B> {
    type Item = B;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<B>> {
        loop {
            match std::task::ready!(self.subscriber.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(message) => match codec::decode(&message.payload) {
                    Ok(decoded) => return Poll::Ready(Some(decoded)),
                    Err(error) => warn!(%error, "a broadcast was ignored"),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! What wraps a response, and what may come instead of one.

    use super::*;
    use crate::messages::{DrainReply, NodeReply};
    use proptest::prelude::*;

    #[test]
    fn replies_round_trip() {
        let accepted = encode_reply(Ok(NodeReply::Accepted));
        assert_eq!(accepted[..], [1, 0, 1, 0]);
        assert_eq!(decode_reply::<NodeReply>(&accepted), Ok(Ok(NodeReply::Accepted)));
        for refusal in [
            Refusal::Overloaded,
            Refusal::Invalid("a".to_owned()),
            Refusal::Failed("b".repeat(Refusal::MAX_REASON)),
            Refusal::UnknownVersion { found: 2, known: 1 },
            Refusal::TooLate {
                needed_ms: 400,
                left_ms: u32::MAX,
            },
            Refusal::AlreadyWorking,
        ] {
            let reply = encode_reply::<NodeReply>(Err(refusal.clone()));
            assert_eq!(decode_reply::<NodeReply>(&reply), Ok(Err(refusal)));
        }
        let long = encode_reply::<NodeReply>(Err(Refusal::Failed("é".repeat(9000))));
        assert!(
            decode_reply::<NodeReply>(&long)
                .unwrap()
                .unwrap_err()
                .to_string()
                .starts_with("it failed: éé")
        );
    }

    #[test]
    fn foreign_replies_are_named() {
        let error = decode_reply::<NodeReply>(&[9, 0, 1, 0]).unwrap_err();
        assert!(error.to_string().contains("came in version 9"), "{error}");
        assert!(decode_reply::<NodeReply>(&[]).is_err());
        assert!(decode_reply::<NodeReply>(&[1, 7]).is_err());
        // A response that is too large becomes a refusal instead of silence.
        #[derive(Debug, Encode, Decode)]
        struct Big(Vec<u8>);
        impl Message for Big {
            const NAME: &'static str = "big";
            const VERSION: u8 = 1;
            const MAX_SIZE: usize = 8;
        }
        let reply = encode_reply(Ok(Big(vec![0; 9])));
        let refusal = decode_reply::<Big>(&reply).unwrap().unwrap_err();
        assert!(
            refusal
                .to_string()
                .contains("big of 11 bytes is beyond its limit of 8"),
            "{refusal}"
        );
    }

    proptest! {
        #[test]
        fn any_reply_never_panics(data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_reply::<NodeReply>(&data);
            let _ = decode_reply::<DrainReply>(&data);
        }
    }
}
