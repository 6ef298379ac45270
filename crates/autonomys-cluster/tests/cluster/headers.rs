//! Segment headers: appended in order by anybody, replaced by nobody, followed without gaps.

use super::{on_each_server, soon};
use autonomys_cluster::Role;
use autonomys_cluster::segment_headers::{AppendError, SegmentHeaders};
use subspace_core_primitives::segments::{ArchivedBlockProgress, LastArchivedBlock, SegmentHeader};

/// Headers that continue each other; `fork` makes chains that differ.
fn chain(length: u64, fork: u8) -> Vec<SegmentHeader> {
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for index in 0..length {
        headers.push(SegmentHeader::V0 {
            segment_index: index.into(),
            segment_commitment: [fork; 48].into(),
            prev_segment_header_hash: headers.last().map_or([0; 32].into(), SegmentHeader::hash),
            last_archived_block: LastArchivedBlock {
                number: 10 * index as u32,
                archived_progress: ArchivedBlockProgress::Complete,
            },
        });
    }
    headers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_appended_and_followed() {
    on_each_server("headers_are_appended_and_followed", async |mut server| {
        let first = SegmentHeaders::open(&server.connect("default", Role::Controller).await)
            .await
            .unwrap();
        let second = SegmentHeaders::open(&server.connect("default", Role::Controller).await)
            .await
            .unwrap();
        let headers = chain(6, 1);
        let mut follower = second.follow();
        let mut admitted = second.follow_admitted();

        let gap = first.append(&headers[1]).await.unwrap_err();
        assert_eq!(
            gap,
            AppendError::Gap {
                index: 1.into(),
                missing: 0.into()
            }
        );
        for header in &headers[..4] {
            assert!(first.append(header).await.unwrap());
            assert!(!second.append(header).await.unwrap(), "the same one");
        }
        assert_eq!(
            first.append(&chain(3, 2)[2]).await.unwrap_err(),
            AppendError::Fork { index: 2.into() }
        );
        assert_eq!(
            first.append(&chain(1, 2)[0]).await.unwrap_err(),
            AppendError::Fork { index: 0.into() }
        );
        assert_eq!(second.all().await.unwrap(), headers[..4]);
        assert_eq!(second.get(3.into()).await.unwrap(), Some(headers[3]));
        assert_eq!(second.get(4.into()).await.unwrap(), None);
        for header in &headers[..4] {
            assert_eq!(soon("header", follower.recv()).await.unwrap(), *header);
        }

        first.admit(1.into()).await.unwrap();
        assert!(first.is_admitted(1.into()).await.unwrap() && !first.is_admitted(0.into()).await.unwrap());
        first.admit(0.into()).await.unwrap();
        second.admit(0.into()).await.unwrap();
        assert_eq!(
            soon("admitted", admitted.recv()).await.unwrap(),
            0.into(),
            "in order"
        );
        assert_eq!(soon("admitted", admitted.recv()).await.unwrap(), 1.into());

        server.restart().await;
        for header in &headers[4..] {
            assert!(first.append(header).await.unwrap());
            assert_eq!(soon("header", follower.recv()).await.unwrap(), *header);
        }
        let mut from_the_start = first.follow();
        for header in &headers {
            assert_eq!(soon("header", from_the_start.recv()).await.unwrap(), *header);
        }
    })
    .await;
}
