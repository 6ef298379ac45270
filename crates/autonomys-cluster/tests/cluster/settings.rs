//! What the processes of a cluster agree on.

use super::{eventually, on_each_server};
use autonomys_cluster::Role;
use autonomys_cluster::settings::{Settings, SettingsError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_agrees_once() {
    on_each_server("a_cluster_agrees_once", async |server| {
        let first = Settings::open(&server.connect("default", Role::Controller).await)
            .await
            .unwrap();
        let second = Settings::open(&server.connect("default", Role::Controller).await)
            .await
            .unwrap();
        assert_eq!(first.genesis().await.unwrap(), None);
        first.bind_genesis([1; 32].into()).await.unwrap();
        second.bind_genesis([1; 32].into()).await.unwrap();
        let error = second.bind_genesis([2; 32].into()).await.unwrap_err();
        assert!(matches!(error, SettingsError::GenesisMismatch { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("give this chain a cluster of its own with --cluster NAME"),
            "{error}"
        );
        assert_eq!(second.genesis().await.unwrap(), Some([1; 32].into()));
        let other = Settings::open(&server.connect("other", Role::Controller).await)
            .await
            .unwrap();
        other.bind_genesis([2; 32].into()).await.unwrap();

        let nothing = first.start_epoch(None).await.unwrap_err();
        assert_eq!(nothing, SettingsError::NoCacheYet);
        assert_eq!(first.cache_settings().await.unwrap(), None);
        let held = first.agree_on_cache(None, "piece").await.unwrap();
        assert_eq!(
            (held.item_type.as_str(), held.epoch, held.layout),
            ("piece", 0, 0)
        );
        assert_eq!(
            second.agree_on_cache(None, "split-piece:4").await.unwrap(),
            held,
            "only a default"
        );
        assert_eq!(second.agree_on_cache(Some("piece"), "piece").await.unwrap(), held);
        let error = second
            .agree_on_cache(Some("split-piece:4"), "piece")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("store items as piece, this process was told split-piece:4"),
            "{error}"
        );
        assert!(
            error.contains("util reinitialization-cache --cache-item-type split-piece:4"),
            "{error}"
        );
        assert_eq!(second.cache_settings().await.unwrap(), Some(held));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_carries_its_item_type() {
    on_each_server("an_epoch_carries_its_item_type", async |server| {
        let first = Settings::open(&server.connect("default", Role::Controller).await)
            .await
            .unwrap();
        let second = Settings::open(&server.connect("default", Role::Controller).await)
            .await
            .unwrap();
        let held = first.agree_on_cache(Some("piece"), "piece").await.unwrap();
        let watch = second.watch_cache();
        let (one, two) = tokio::join!(first.start_epoch(None), second.start_epoch(None));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.epoch + two.epoch, 3, "one each");
        assert_eq!((one.layout, two.layout), (0, 0), "the items are the same");
        let split = first.start_epoch(Some("split-piece:4")).await.unwrap();
        assert_eq!(
            (split.item_type.as_str(), split.epoch, split.layout),
            ("split-piece:4", 3, 3)
        );
        let again = second.start_epoch(Some("split-piece:4")).await.unwrap();
        assert_eq!((again.epoch, again.layout), (4, 3));
        eventually("epoch", async || watch.borrow().as_ref() == Some(&again)).await;
        assert_eq!(
            second.restore_cache(held).await.unwrap(),
            again,
            "nothing was lost"
        );
    })
    .await;
}
