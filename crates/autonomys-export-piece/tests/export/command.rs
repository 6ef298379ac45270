//! The command itself: killed, resumed, checked again, stopped, refused.

use crate::support::{Chain, SEGMENTS, development_parameters};
use std::fs::File;
use std::os::unix::fs::FileExt;

fn unfinished(chain: &Chain) -> Vec<String> {
    let names = std::fs::read_dir(chain.output()).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twice_and_resumed_it_writes_what_the_node_archived() {
    let chain = Chain::start().await;
    // In the middle of writing the first segment.
    let mut exporter = chain.exporter(&["--concurrency", "1"]);
    exporter.says("writing segment=0").await;
    exporter.kill().await;
    // In the middle of computing the second one, after the first is done.
    let mut exporter = chain.exporter(&["--concurrency", "1", "--json"]);
    exporter.says("computing segment=1").await;
    let output = exporter.kill().await;
    assert!(unfinished(&chain).is_empty(), "{output}");
    assert!(chain.file(0).exists() && !chain.file(1).exists(), "{output}");
    let first = std::fs::metadata(chain.file(0)).unwrap().modified().unwrap();

    let (code, output) = chain.exporter(&["--json"]).end().await;
    assert_eq!(code, 0, "{output}");
    for segment in 0..SEGMENTS {
        chain.assert_exported(segment);
    }
    // What was done is not made again.
    assert_eq!(
        std::fs::metadata(chain.file(0)).unwrap().modified().unwrap(),
        first
    );
    assert!(
        output.contains(r#""event":"end""#) && output.contains(r#""segments_done":2"#),
        "{output}"
    );
    assert!(
        output.contains("checking a random piece of every segment") && output.contains("2 to export"),
        "{output}"
    );

    // One bit of one piece: --verify finds it, whichever piece it is, and only that segment is made again.
    let file = File::options()
        .read(true)
        .write(true)
        .open(chain.file(1))
        .unwrap();
    let mut byte = [0];
    let place = 100 * 1_048_672 + 12_345;
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
    drop(file);
    let (code, output) = chain
        .exporter(&["--verify", "--from-segment", "1", "--to-segment", "1"])
        .end()
        .await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("damaged and will be made again"), "{output}");
    chain.assert_exported(1);
    // Nothing left to do.
    let (code, output) = chain.exporter(&[]).end().await;
    assert!(
        code == 0 && output.contains("3 are done, 0 to export"),
        "{code} {output}"
    );

    // Told to stop, a follower says goodbye; a directory in use, and one of another chain, are left alone.
    let mut follower = chain.exporter(&["--follow"]);
    follower.says("0 to export").await;
    let (code, output) = chain.exporter(&[]).end().await;
    assert!(
        code == 1 && output.contains("in use by another process"),
        "{code} {output}"
    );
    follower.terminate();
    let (code, output) = follower.end().await;
    assert_eq!(code, 0, "{output}");
    // While the node syncs there may be more to come; then there is not.
    chain.fault("syncing");
    let mut exporter = chain.exporter(&["--follow-interval", "1"]);
    exporter.says("the node is still syncing").await;
    chain.heal();
    let (code, output) = exporter.end().await;
    assert_eq!(code, 0, "{output}");
    chain.fault("other-genesis");
    let (code, output) = chain.exporter(&[]).end().await;
    assert!(
        code == 2 && output.contains("but its block 0 is 0x"),
        "{code} {output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_in_one_sentence() {
    let chain = Chain::start().await;
    let mut exporter = chain.exporter(&["--from-segment", "2"]);
    exporter.says("computing segment=2").await;
    exporter.terminate();
    let (code, output) = exporter.end().await;
    assert!(code == 143 && !chain.file(2).exists(), "{code} {output}");
    for (arguments, wanted, sentence) in [
        (
            &["--from-segment", "3"][..],
            1,
            "the chain has 3 segments so far, 0 to 2; segment 3 is not among them",
        ),
        (
            &["--from-segment", "2", "--to-segment", "1"],
            1,
            "--to-segment 1 is before --from-segment 2",
        ),
        (&["--concurrency", "0"], 1, "--help shows how it is written"),
        (
            &["--node-url", "ftp://node"],
            1,
            "is none of ws, wss, http, https",
        ),
        (
            &["--node-url", "http://127.0.0.1:1"],
            2,
            "the node cannot be used",
        ),
    ] {
        let (code, output) = chain.exporter(arguments).end().await;
        assert!(
            code == wanted && output.contains(sentence),
            "{arguments:?}: {code} {output}"
        );
    }
    chain.fault("pruned-blocks=1-90");
    let (code, output) = chain.exporter(&[]).end().await;
    assert!(
        code == 2
            && output.contains("blocks 1 to 90")
            && output.contains("segments 1 to 2")
            && output.contains("--blocks-pruning archive"),
        "{code} {output}"
    );
    assert!(!chain.file(0).exists());
    chain.heal();
    // A hole that no probe meets: that segment fails, the other one does not, and both are told.
    let middle = u32::midpoint(
        chain.header(0).last_archived_block().number,
        chain.header(1).last_archived_block().number,
    );
    chain.fault(&format!("pruned-blocks={middle}-{middle}"));
    let parameters = chain.directory.path().join("parameters");
    development_parameters(&parameters);
    let (code, output) = chain
        .exporter(&["--to-segment", "1", "--kzg-params", parameters.to_str().unwrap()])
        .end()
        .await;
    assert!(
        code == 1
            && output.contains(&format!(
                "segment 1 failed: the node does not have block {middle}"
            )),
        "{code} {output}"
    );
    assert!(chain.file(0).exists() && !chain.file(1).exists());
    // No room: a file system of a megabyte would need root, so the space is asked for more segments than any disk holds; see
    // the tests of the output directory.
}
