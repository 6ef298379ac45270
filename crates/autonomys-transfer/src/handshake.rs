//! Proof of the session key by both sides before anything else is said.
//!
//! The serving member makes a random key at start and publishes it in its members record, so whoever may read the control
//! plane can connect and nobody else. Neither side ever sends the key: each sends BLAKE3 keyed with it over a context, both
//! nonces and nothing that the other could replay to a third.

use crate::error::{ErrorCode, FrameError, Refusal, TransferError};
use crate::frame::{Frame, FrameKind, Header, read_header, read_payload};
use crate::limits::{MAX_KEYS_PER_GET, MAX_REQUESTS_PER_CONNECTION, Timeouts};
use crate::message::{decode_array, decode_error, error_frame};
use bytes::Bytes;
use rand::RngCore;
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

const SERVER_CONTEXT: &[u8] = b"autonomys data plane v1 server";
const CLIENT_CONTEXT: &[u8] = b"autonomys data plane v1 client";

/// Secret of one serving member, new at each of its starts. Not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A fresh random key.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The bytes that are published on the control plane.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn proof(&self, context: &[u8], client_nonce: &[u8; 32], server_nonce: &[u8; 32]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(context).update(client_nonce).update(server_nonce);
        hasher.finalize()
    }
}

impl From<[u8; 32]> for SessionKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionKey(..)")
    }
}

/// What a server allows on a connection, from its `Welcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Requests open at once.
    pub max_requests: u16,
    /// Keys in one `Get`.
    pub max_keys: u16,
}

async fn expect<S: AsyncRead + Unpin>(
    stream: &mut S,
    expected: FrameKind,
    times: &Timeouts,
) -> Result<Bytes, TransferError> {
    let header: Header = read_header(stream, times.handshake, times.handshake)
        .await?
        .ok_or(TransferError::ConnectionClosed)?;
    // Strangers may send nothing longer than a handshake frame or an error.
    if header.kind == FrameKind::Error {
        let refusal = decode_error(read_payload(stream, &header, times.handshake).await?)?;
        return Err(match refusal.code {
            ErrorCode::AuthenticationFailed => TransferError::AuthenticationFailed,
            _ => refusal.into(),
        });
    }
    if header.kind != expected {
        return Err(FrameError::Unexpected {
            kind: header.kind.name(),
            during: "in the handshake",
        }
        .into());
    }
    read_payload(stream, &header, times.handshake).await
}

fn nonce() -> [u8; 32] {
    *SessionKey::random().as_bytes()
}

/// The client's side: proves the key to the server, and makes the server prove it first.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    key: &SessionKey,
    times: &Timeouts,
) -> Result<ServerLimits, TransferError> {
    let run = async {
        let client_nonce = nonce();
        Frame::small(FrameKind::Hello, 0, client_nonce.to_vec())
            .write(stream, times.handshake)
            .await?;
        let challenge: [u8; 64] = decode_array(
            FrameKind::Challenge,
            expect(stream, FrameKind::Challenge, times).await?,
        )?;
        let (server_nonce, proof) = challenge.split_first_chunk::<32>().expect("64 bytes hold 32");
        let expected = key.proof(SERVER_CONTEXT, &client_nonce, server_nonce);
        // `blake3::Hash` compares in constant time.
        if expected != *<&[u8; 32]>::try_from(proof).expect("64 bytes are twice 32") {
            return Err(TransferError::AuthenticationFailed);
        }
        let proof = key.proof(CLIENT_CONTEXT, &client_nonce, server_nonce);
        Frame::small(FrameKind::Auth, 0, proof.as_bytes().to_vec())
            .write(stream, times.handshake)
            .await?;
        let welcome: [u8; 4] = decode_array(
            FrameKind::Welcome,
            expect(stream, FrameKind::Welcome, times).await?,
        )?;
        let limits = ServerLimits {
            max_requests: u16::from_le_bytes([welcome[0], welcome[1]]),
            max_keys: u16::from_le_bytes([welcome[2], welcome[3]]),
        };
        if limits.max_requests == 0 || limits.max_keys == 0 {
            return Err(FrameError::Malformed {
                kind: "Welcome",
                reason: "a limit is zero",
            }
            .into());
        }
        Ok(limits)
    };
    match timeout(times.handshake, run).await {
        Ok(result) => result,
        Err(_) => Err(TransferError::TimedOut {
            operation: "the handshake",
            limit: times.handshake,
        }),
    }
}

/// The server's side. A refusal is told to the client before the error returns.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    key: &SessionKey,
    times: &Timeouts,
) -> Result<(), TransferError> {
    let run = async {
        let result = prove(stream, key, times).await;
        if let Err(error) = &result {
            let code = match error {
                TransferError::Frame(FrameError::UnsupportedVersion { .. }) => ErrorCode::UnsupportedVersion,
                TransferError::AuthenticationFailed => ErrorCode::AuthenticationFailed,
                TransferError::Frame(FrameError::BadMagic { .. } | FrameError::Truncated)
                | TransferError::Io { .. }
                | TransferError::ConnectionClosed => return result,
                _ => ErrorCode::Malformed,
            };
            // The peer may be gone already; the error that matters is the one above.
            let _ = error_frame(0, &Refusal::new(code, error.to_string()))
                .write(stream, times.handshake)
                .await;
        }
        result
    };
    match timeout(times.handshake, run).await {
        Ok(result) => result,
        Err(_) => Err(TransferError::TimedOut {
            operation: "the handshake",
            limit: times.handshake,
        }),
    }
}

async fn prove<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    key: &SessionKey,
    times: &Timeouts,
) -> Result<(), TransferError> {
    let client_nonce: [u8; 32] =
        decode_array(FrameKind::Hello, expect(stream, FrameKind::Hello, times).await?)?;
    let server_nonce = nonce();
    let mut challenge = Vec::with_capacity(64);
    challenge.extend_from_slice(&server_nonce);
    challenge.extend_from_slice(key.proof(SERVER_CONTEXT, &client_nonce, &server_nonce).as_bytes());
    Frame::small(FrameKind::Challenge, 0, challenge)
        .write(stream, times.handshake)
        .await?;
    let proof: [u8; 32] = decode_array(FrameKind::Auth, expect(stream, FrameKind::Auth, times).await?)?;
    if key.proof(CLIENT_CONTEXT, &client_nonce, &server_nonce) != proof {
        return Err(TransferError::AuthenticationFailed);
    }
    let mut welcome = (MAX_REQUESTS_PER_CONNECTION as u16).to_le_bytes().to_vec();
    welcome.extend_from_slice(&(MAX_KEYS_PER_GET as u16).to_le_bytes());
    Frame::small(FrameKind::Welcome, 0, welcome)
        .write(stream, times.handshake)
        .await
}
