//! Proof of the session key by both sides before anything else is said.
//!
//! The serving member makes a random key at start and publishes it in its members record, so whoever may read the control
//! plane can connect and nobody else. Neither side ever sends the key: each sends BLAKE3 keyed with it over a context, both
//! nonces, both versions that were named and keying material of the TLS connection below, if there is one: nothing of it is of use
//! on another connection, and nobody in between can change what was agreed.

use crate::error::{ErrorCode, FrameError, Refusal, TransferError};
use crate::frame::{Frame, FrameKind, Header, VERSION, read_header, read_payload};
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

    fn proof(&self, context: &[u8], said: &Said<'_>) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher
            .update(context)
            .update(&said.client_nonce)
            .update(&said.server_nonce)
            .update(&said.highest.to_le_bytes())
            .update(&said.version.to_le_bytes())
            .update(said.binding);
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

/// What both proofs cover.
struct Said<'a> {
    client_nonce: [u8; 32],
    server_nonce: [u8; 32],
    /// Highest version that the client speaks.
    highest: u16,
    /// Version that the server chose.
    version: u16,
    /// Keying material of the TLS connection; empty without one.
    binding: &'a [u8],
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
            ErrorCode::TlsRequired => TransferError::TlsRequired,
            ErrorCode::TlsNotSpoken => TransferError::TlsNotSpoken,
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

/// The client's side: proves the key to the server, and makes the server prove it first. `binding` is keying material of the TLS
/// connection below, empty without one.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    key: &SessionKey,
    times: &Timeouts,
    binding: &[u8],
) -> Result<ServerLimits, TransferError> {
    let run = async {
        let client_nonce = nonce();
        let mut hello = client_nonce.to_vec();
        hello.extend_from_slice(&VERSION.to_le_bytes());
        Frame::small(FrameKind::Hello, 0, hello)
            .write(stream, times.handshake)
            .await?;
        let mut challenge = expect(stream, FrameKind::Challenge, times).await?;
        let server_nonce = decode_array(FrameKind::Challenge, challenge.split_to(challenge.len().min(32)))?;
        let version = u16::from_le_bytes(decode_array(
            FrameKind::Challenge,
            challenge.split_to(challenge.len().min(2)),
        )?);
        let proof: [u8; 32] = decode_array(FrameKind::Challenge, challenge)?;
        if version != VERSION {
            return Err(FrameError::UnsupportedVersion { found: version }.into());
        }
        let said = Said {
            client_nonce,
            server_nonce,
            highest: VERSION,
            version,
            binding,
        };
        // `blake3::Hash` compares in constant time.
        if key.proof(SERVER_CONTEXT, &said) != proof {
            return Err(TransferError::AuthenticationFailed);
        }
        Frame::small(
            FrameKind::Auth,
            0,
            key.proof(CLIENT_CONTEXT, &said).as_bytes().to_vec(),
        )
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

/// The server's side; `binding` as with [`connect`]. A refusal is told to the client before the error returns.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    key: &SessionKey,
    times: &Timeouts,
    binding: &[u8],
) -> Result<(), TransferError> {
    let run = async {
        let result = prove(stream, key, times, binding).await;
        if let Err(error) = &result {
            let code = match error {
                TransferError::TlsNotSpoken => ErrorCode::TlsNotSpoken,
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
    binding: &[u8],
) -> Result<(), TransferError> {
    let mut hello = match expect(stream, FrameKind::Hello, times).await {
        Err(TransferError::Frame(FrameError::BadMagic { found })) if crate::tls::is_tls(&found) => {
            return Err(TransferError::TlsNotSpoken);
        }
        hello => hello?,
    };
    let client_nonce = decode_array(FrameKind::Hello, hello.split_to(hello.len().min(32)))?;
    let highest = u16::from_le_bytes(decode_array(FrameKind::Hello, hello)?);
    // The highest that both speak; below the lowest of ours there is none.
    let version = highest.min(VERSION);
    if version == 0 {
        return Err(FrameError::UnsupportedVersion { found: highest }.into());
    }
    let server_nonce = nonce();
    let said = Said {
        client_nonce,
        server_nonce,
        highest,
        version,
        binding,
    };
    let mut challenge = Vec::with_capacity(66);
    challenge.extend_from_slice(&server_nonce);
    challenge.extend_from_slice(&version.to_le_bytes());
    challenge.extend_from_slice(key.proof(SERVER_CONTEXT, &said).as_bytes());
    Frame::small(FrameKind::Challenge, 0, challenge)
        .write(stream, times.handshake)
        .await?;
    let proof: [u8; 32] = decode_array(FrameKind::Auth, expect(stream, FrameKind::Auth, times).await?)?;
    if key.proof(CLIENT_CONTEXT, &said) != proof {
        return Err(TransferError::AuthenticationFailed);
    }
    let mut welcome = (MAX_REQUESTS_PER_CONNECTION as u16).to_le_bytes().to_vec();
    welcome.extend_from_slice(&(MAX_KEYS_PER_GET as u16).to_le_bytes());
    Frame::small(FrameKind::Welcome, 0, welcome)
        .write(stream, times.handshake)
        .await
}
