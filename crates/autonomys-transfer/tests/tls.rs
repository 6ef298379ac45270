//! The data plane over TLS: the same conversations, nothing readable on the way, and nobody in the middle.
#![allow(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod common;

use autonomys_transfer::{
    Item, ItemKey, Peer, Pool, PoolOptions, Server, ServerOptions, SessionKey, TransferError,
};
use bytes::Bytes;
use common::*;
use futures::StreamExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

async fn serve_tls(memory: &Arc<Memory>, tls: bool) -> Server {
    let options = ServerOptions {
        tls,
        ..ServerOptions::default()
    };
    serve_with(memory.handlers(), options).await
}

fn pool_with(tls: bool) -> Pool {
    let options = PoolOptions {
        tls,
        ..PoolOptions::default()
    };
    Pool::new(options, Default::default())
}

async fn get(pool: &Pool, peer: &Peer, index: u64) -> Result<Option<Bytes>, TransferError> {
    let mut items = pool.get(peer, vec![ItemKey::piece(1, index)], deadline()).await?;
    items.next().await.unwrap().map(|(_, bytes)| bytes)
}

#[tokio::test]
async fn everything_travels_over_tls() {
    let memory = Memory::with_pieces(20, 1_048_672);
    let sector: Bytes = (0..40_000_003u32).map(|number| (number / 7) as u8).collect();
    memory
        .sectors
        .lock()
        .unwrap()
        .insert(sector_key(1), sector.clone());
    let server = serve_tls(&memory, true).await;
    let (pool, peer) = (pool_with(true), peer(&server));
    let keys = (0..20).map(|index| ItemKey::piece(1, index)).collect();
    let items = pool.get(&peer, keys, deadline()).await.unwrap();
    let items: Vec<_> = items.map(Result::unwrap).collect().await;
    assert_eq!(items.len(), 20);
    for (key, bytes) in items {
        assert_eq!(bytes, Some(content(key.piece_index, 1_048_672)));
    }
    let item = Item::new(content(77, 500_000));
    pool.put(&peer, ItemKey::piece(1, 77), item, deadline())
        .await
        .unwrap();
    assert_eq!(get(&pool, &peer, 77).await, Ok(Some(content(77, 500_000))));
    let chunks = pool
        .get_sector_range(&peer, sector_key(1), 0, u64::MAX, deadline())
        .await
        .unwrap();
    let bytes: Vec<_> = chunks.map(|chunk| chunk.unwrap().data).collect().await;
    assert!(bytes.concat() == sector);
    let stranger = Peer {
        session_key: SessionKey::from([1; 32]),
        ..peer
    };
    assert_eq!(
        get(&pool, &stranger, 1).await,
        Err(TransferError::AuthenticationFailed)
    );
    server.shutdown().await;
}

#[tokio::test]
async fn two_sides_that_are_set_differently_say_so() {
    let memory = Memory::with_pieces(1, 10);
    let (tls, plain) = (serve_tls(&memory, true).await, serve_tls(&memory, false).await);
    let required = get(&pool_with(false), &peer(&tls), 0).await;
    assert_eq!(required, Err(TransferError::TlsRequired));
    let not_spoken = get(&pool_with(true), &peer(&plain), 0).await;
    assert_eq!(not_spoken, Err(TransferError::TlsNotSpoken));
    for error in [required.unwrap_err(), not_spoken.unwrap_err()] {
        assert!(error.to_string().contains("set TLS the same way on all members"));
    }
    // Noise on a TLS port ends the connection.
    let mut stream = TcpStream::connect(tls.local_addr()).await.unwrap();
    stream.write_all(&[22, 3, 1, 0, 5, 1, 2, 3, 4, 5]).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!(get(&pool_with(true), &peer(&tls), 0).await.is_ok());
}

/// Passes bytes on in both directions and keeps those of the server.
async fn tap(server: &Server) -> (Peer, Arc<Mutex<Vec<u8>>>) {
    let (listener, seen) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::default());
    let tapped = Peer {
        address: listener.local_addr().unwrap(),
        ..peer(server)
    };
    let (address, keep) = (server.local_addr(), Arc::<Mutex<Vec<u8>>>::clone(&seen));
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(address).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            keep.lock().unwrap().extend_from_slice(&buffer[..count]);
            to_client.write_all(&buffer[..count]).await.unwrap();
        }
    });
    (tapped, seen)
}

#[tokio::test]
async fn nothing_readable_is_on_the_wire() {
    let memory = Memory::with_pieces(1, 0x1000);
    for tls in [false, true] {
        let server = serve_tls(&memory, tls).await;
        let (peer, seen) = tap(&server).await;
        assert_eq!(get(&pool_with(tls), &peer, 0).await, Ok(Some(content(0, 0x1000))));
        let seen = seen.lock().unwrap();
        let readable =
            seen.windows(4).any(|bytes| bytes == b"AFDP") && seen.windows(100).any(|bytes| bytes == [0; 100]);
        assert_eq!(readable, !tls);
    }
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Ends the client's TLS with a certificate of its own, speaks TLS with the server as a client, and passes on what both say.
async fn man_in_the_middle(server: &Server) -> Peer {
    let made = rcgen::generate_simple_self_signed(["autonomys-data-plane".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let towards_client = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let towards_server = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let middle = Peer {
        address: listener.local_addr().unwrap(),
        ..peer(server)
    };
    let address = server.local_addr();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let mut client = TlsAcceptor::from(Arc::new(towards_client))
            .accept(client)
            .await
            .unwrap();
        let server = TcpStream::connect(address).await.unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        let connector = TlsConnector::from(Arc::new(towards_server));
        let mut server = connector.connect(name, server).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    middle
}

#[tokio::test]
async fn a_man_in_the_middle_is_found_out() {
    let memory = Memory::with_pieces(1, 10);
    let server = serve_tls(&memory, true).await;
    let middle = man_in_the_middle(&server).await;
    // Certificates were accepted all round; the proofs are of different connections.
    assert_eq!(
        get(&pool_with(true), &middle, 0).await,
        Err(TransferError::AuthenticationFailed)
    );
    assert!(get(&pool_with(true), &peer(&server), 0).await.is_ok());
}
