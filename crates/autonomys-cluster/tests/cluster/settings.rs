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

        assert_eq!(first.agree_item_type("piece", true).await.unwrap(), "piece");
        assert_eq!(
            second.agree_item_type("split-piece", true).await.unwrap(),
            "piece",
            "only a default"
        );
        let error = second.agree_item_type("split-piece", false).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("hold piece items, this process was told to use split-piece"),
            "{error}"
        );
        assert_eq!(second.item_type().await.unwrap().as_deref(), Some("piece"));

        let epoch = second.watch_cache_epoch();
        assert_eq!(first.cache_epoch().await.unwrap(), 0);
        let (one, two) = tokio::join!(first.raise_cache_epoch(), second.raise_cache_epoch());
        assert_eq!(one.unwrap() + two.unwrap(), 3, "one each");
        eventually("epoch", async || *epoch.borrow() == 2).await;
    })
    .await;
}
