//! What needs no server: addresses, versions, pauses.

use super::*;

fn given(servers: &[&str]) -> Result<Vec<ServerAddr>, ConnectError> {
    addresses(
        &servers
            .iter()
            .map(|&server| server.to_owned())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn repeated_addresses_count_once() {
    let servers = given(&["nats://a:4222", "a:4222", " nats://b:4222 ", "nats://a:4222"]).unwrap();
    assert_eq!(list(&servers), "a:4222, b:4222");
    assert_eq!(given(&[]).unwrap_err(), ConnectError::NoServer);
}

#[test]
fn passwords_never_show() {
    let error = given(&["http://user:secret@host:1"]).unwrap_err().to_string();
    assert!(
        error.contains("http://host:1") && !error.contains("secret"),
        "{error}"
    );
    assert_eq!(redacted("user:secret@host"), "host");
    let servers = given(&["nats://user:secret@host:1"]).unwrap();
    assert_eq!(list(&servers), "host:1");
    let options = NatsOptions {
        token: Some("secret".to_owned()),
        ..NatsOptions::new(
            vec!["nats://user:secret@host:1".to_owned()],
            ClusterName::default(),
            InstanceId::generate(crate::ids::Role::Controller),
        )
    };
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn escapes_are_reversed() {
    assert_eq!(percent_decoded("p%40ss%2Fw%c3%A9rd"), "p@ss/wérd");
    assert_eq!(percent_decoded("100%"), "100%");
    assert_eq!(percent_decoded("%zz%4"), "%zz%4");
}

#[test]
fn versions_compare_by_number() {
    assert_eq!(version("2.10.25"), Some((2, 10)));
    assert_eq!(version("2.12.8-preview.1"), Some((2, 12)));
    assert_eq!(version("v3.0"), Some((3, 0)));
    assert!(version("2.9.11").unwrap() < OLDEST_SERVER);
    assert_eq!(version("two"), None);
}

#[test]
fn pauses_grow_to_a_limit() {
    assert_eq!(backoff(0), Duration::ZERO);
    for round in 1..100 {
        let pause = backoff(round);
        assert!(pause >= BACKOFF.0 / 2 && pause <= BACKOFF.1, "{round}: {pause:?}");
    }
    assert!(backoff(1) <= BACKOFF.0);
    assert!(backoff(usize::MAX) >= BACKOFF.1 / 2);
}
