//! TLS under the handshake, for networks that are not ours.
//!
//! Certificates say nothing here: the server makes one at each start and the client takes any. What keeps a man in the middle out is
//! the handshake of the session key, whose proofs cover keying material of the TLS connection (RFC 5705): two TLS connections that
//! meet in the middle have different material, so the proofs of one are wrong on the other.

use crate::error::TransferError;
use crate::limits::Timeouts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Exporter label of the material that the proofs cover.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-autonomys-data-plane-v1";

/// First byte of a TLS connection: the content type of its handshake records.
const HANDSHAKE_RECORD: u8 = 22;

/// Keying material that both ends of one TLS connection know, and nobody else.
pub(crate) type Binding = [u8; 32];

/// Accepts TLS with a certificate of its own.
#[derive(Clone)]
pub(crate) struct ServerTls(TlsAcceptor);

/// Asks for TLS and takes any certificate.
#[derive(Clone)]
pub(crate) struct ClientTls(TlsConnector);

impl ServerTls {
    pub(crate) fn new() -> Result<Self, TransferError> {
        let internal =
            |error: &dyn std::fmt::Display| TransferError::Internal(format!("preparing TLS: {error}"));
        let made = rcgen::generate_simple_self_signed(["autonomys-data-plane".to_owned()])
            .map_err(|error| internal(&error))?;
        let key =
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|error| internal(&error))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| internal(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(|error| internal(&error))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The TLS handshake of an accepted connection.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        times: &Timeouts,
    ) -> Result<(server::TlsStream<TcpStream>, Binding), TransferError> {
        let stream = timeout(times.handshake, self.0.accept(stream))
            .await
            .map_err(|_| timed_out(times))?
            .map_err(|error| TransferError::io("the TLS handshake", &error))?;
        let binding = binding(stream.get_ref().1)?;
        Ok((stream, binding))
    }
}

/// Whether an accepted connection begins as TLS does. Takes nothing from it.
pub(crate) async fn begins_with_tls(stream: &TcpStream, times: &Timeouts) -> Result<bool, TransferError> {
    let mut first = [0];
    let count = timeout(times.handshake, stream.peek(&mut first))
        .await
        .map_err(|_| timed_out(times))?
        .map_err(|error| TransferError::io("reading from the peer", &error))?;
    match count {
        0 => Err(TransferError::ConnectionClosed),
        _ => Ok(first[0] == HANDSHAKE_RECORD),
    }
}

impl ClientTls {
    pub(crate) fn new() -> Self {
        let provider = provider();
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has suites of TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// The TLS handshake on a fresh connection.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        times: &Timeouts,
    ) -> Result<(client::TlsStream<TcpStream>, Binding), TransferError> {
        let address = stream
            .peer_addr()
            .map_err(|error| TransferError::io("reading the peer's address", &error))?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = timeout(times.handshake, self.0.connect(name, stream))
            .await
            .map_err(|_| timed_out(times))?
            .map_err(
                |error| match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                    // What came is no TLS record: most likely a member's plain answer.
                    Some(rustls::Error::InvalidMessage(_)) => TransferError::TlsNotSpoken,
                    _ => TransferError::io("the TLS handshake", &error),
                },
            )?;
        let binding = binding(stream.get_ref().1)?;
        Ok((stream, binding))
    }
}

/// Whether these are the first bytes of a TLS connection.
pub(crate) fn is_tls(first: &[u8; 4]) -> bool {
    first[..2] == [HANDSHAKE_RECORD, 3]
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn timed_out(times: &Timeouts) -> TransferError {
    TransferError::TimedOut {
        operation: "the TLS handshake",
        limit: times.handshake,
    }
}

fn binding<Side>(connection: &rustls::ConnectionCommon<Side>) -> Result<Binding, TransferError> {
    connection
        .export_keying_material([0; 32], EXPORTER_LABEL, None)
        .map_err(|error| TransferError::Internal(format!("binding to TLS: {error}")))
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(
            "TLS 1.3 is the only version spoken".to_owned(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ClientTls(..)")
    }
}
