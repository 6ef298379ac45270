//! Names: round trips, refusals, and the session key that never shows.

use super::*;
use parity_scale_codec::DecodeAll;
use proptest::prelude::*;

#[test]
fn cluster_names_are_one_subject_token() {
    for name in ["default", "a", "Main-net-2", &"x".repeat(32)] {
        assert_eq!(name.parse::<ClusterName>().unwrap().as_str(), name);
    }
    for name in ["", "a.b", "a_b", "a b", "a*", "a>", "é", &"x".repeat(33)] {
        let error = name.parse::<ClusterName>().unwrap_err();
        assert!(
            error.to_string().contains("1 to 32 letters, digits or hyphens"),
            "{error}"
        );
    }
}

#[test]
fn every_role_round_trips() {
    for role in Role::ALL {
        assert_eq!(role.to_string().parse::<Role>().unwrap(), role);
        let id = InstanceId::generate(role);
        assert!(id.to_string().len() <= InstanceId::MAX_LENGTH);
        assert_eq!(id.to_string().parse::<InstanceId>().unwrap(), id);
        assert_eq!(InstanceId::decode_all(&mut &id.encode()[..]).unwrap(), id);
        assert_eq!(ControllerId::try_from(id).is_ok(), role == Role::Controller);
        assert_eq!(
            ControllerId::decode_all(&mut &id.encode()[..]).is_ok(),
            role == Role::Controller
        );
    }
    assert!(
        "dev-node"
            .parse::<Role>()
            .unwrap_err()
            .to_string()
            .contains("plot-client")
    );
}

#[test]
fn instance_ids_have_one_spelling() {
    let id = InstanceId::generate(Role::PlotServer).to_string();
    for text in [
        id.to_lowercase(),
        id.replace('.', "-"),
        format!("{id} "),
        id[..id.len() - 1].to_owned(),
        String::new(),
    ] {
        assert!(text.parse::<InstanceId>().is_err(), "{text}");
        assert!(InstanceId::decode_all(&mut &text.encode()[..]).is_err(), "{text}");
    }
}

#[test]
fn session_key_never_shows() {
    let key = SessionKey::from([0x5a; 32]);
    assert_eq!(format!("{key:?}"), "SessionKey(..)");
    assert_ne!(SessionKey::generate(), SessionKey::generate());
}

proptest! {
    #[test]
    fn any_text_is_refused_or_round_trips(text in ".{0,80}") {
        if let Ok(id) = text.parse::<InstanceId>() {
            prop_assert_eq!(id.to_string(), text.clone());
        }
        if let Ok(name) = text.parse::<ClusterName>() {
            prop_assert_eq!(name.as_str(), text);
        }
    }
}
