use super::*;
use proptest::prelude::*;

#[test]
fn header_has_the_documented_form() {
    let text = concat!(
        r#"{"parentHash":"0x1111111111111111111111111111111111111111111111111111111111111111","number":"0x1a3a","#,
        r#""stateRoot":"0x2222222222222222222222222222222222222222222222222222222222222222","#,
        r#""extrinsicsRoot":"0x3333333333333333333333333333333333333333333333333333333333333333","#,
        r#""digest":{"logs":["0x045355425f24018fe2ecc367d81500"]}}"#
    );
    let header: RpcHeader = serde_json::from_str(text).unwrap();
    assert_eq!(header.number.0, 6714);
    assert_eq!(header.parent_hash.0, [0x11; 32]);
    assert_eq!(header.digest.logs[0].0.len(), 15);
    assert_eq!(serde_json::to_string(&header).unwrap(), text);
}

#[test]
fn block_with_and_without_justification() {
    let text = r#"{"block":{"header":HEADER,"extrinsics":["0x1001020304","0x0c2a2b2c"]},"justifications":[[[83,85,66,95],[0,85,85]]]}"#;
    let header = serde_json::to_string(&RpcHeader::default()).unwrap();
    let text = text.replace("HEADER", &header);
    let block: RpcSignedBlock = serde_json::from_str(&text).unwrap();
    assert_eq!(block.justifications, Some(vec![(*b"SUB_", vec![0, 85, 85])]));
    assert_eq!(serde_json::to_string(&block).unwrap(), text);
    let without = text.replace("[[[83,85,66,95],[0,85,85]]]", "null");
    let block: RpcSignedBlock = serde_json::from_str(&without).unwrap();
    assert_eq!(block.justifications, None);
    assert_eq!(serde_json::to_string(&block).unwrap(), without);
}

#[test]
fn numbers_are_minimal_hexadecimal() {
    for (number, text) in [(0, "\"0x0\""), (6714, "\"0x1a3a\""), (u32::MAX, "\"0xffffffff\"")] {
        assert_eq!(serde_json::to_string(&HexNumber(number)).unwrap(), text);
        assert_eq!(
            serde_json::from_str::<HexNumber>(text).unwrap(),
            HexNumber(number)
        );
        assert_eq!(
            serde_json::from_str::<HexNumber>(&number.to_string()).unwrap(),
            HexNumber(number)
        );
    }
    for wrong in [
        "\"1a\"",
        "\"0x\"",
        "\"0x+1\"",
        "\"0x100000000\"",
        "4294967296",
        "-1",
        "1.5",
        "null",
    ] {
        assert!(serde_json::from_str::<HexNumber>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn one_or_many() {
    assert_eq!(
        serde_json::from_str::<NumberOrList>(r#"["0x1",2]"#).unwrap(),
        NumberOrList::Many(vec![HexNumber(1), HexNumber(2)])
    );
    assert_eq!(
        serde_json::from_str::<NumberOrList>("7").unwrap(),
        NumberOrList::One(HexNumber(7))
    );
    assert_eq!(
        serde_json::to_string(&HashOrList::Many(vec![None])).unwrap(),
        "[null]"
    );
    assert_eq!(
        serde_json::from_str::<HashOrList>("null").unwrap(),
        HashOrList::One(None)
    );
}

#[test]
fn damaged_hexadecimal_text_is_refused() {
    for wrong in ["\"abcd\"", "\"0xabc\"", "\"0xzz\"", "7"] {
        assert!(serde_json::from_str::<HexBytes>(wrong).is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<HexHash>("\"0xabcd\"").is_err());
}

proptest! {
    #[test]
    fn bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let text = serde_json::to_string(&HexBytes(bytes.clone())).unwrap();
        prop_assert_eq!(serde_json::from_str::<HexBytes>(&text).unwrap().0, bytes.clone());
        prop_assert_eq!(serde_json::from_str::<HexBytes>(&text.to_uppercase().replace("0X", "0x")).unwrap().0, bytes);
    }
}
