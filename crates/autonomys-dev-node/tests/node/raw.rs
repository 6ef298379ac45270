//! A WebSocket on which tests write and read the exact text.

use crate::support::{url, within};
use autonomys_dev_node::DevNode;
use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::{ReceivedMessage, TransportReceiverT, TransportSenderT};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::sync::mpsc;

pub(crate) struct Raw {
    to_send: mpsc::UnboundedSender<String>,
    received: mpsc::UnboundedReceiver<Value>,
    notifications: VecDeque<Value>,
    next_id: u64,
}

impl Raw {
    pub(crate) async fn connect(node: &DevNode) -> Self {
        let url = Url::parse(&url(node)).unwrap();
        let (mut sender, mut receiver) = WsTransportClientBuilder::default()
            .max_request_size(u32::MAX)
            .max_response_size(u32::MAX)
            .build(url)
            .await
            .unwrap();
        let (to_send, mut queue) = mpsc::unbounded_channel::<String>();
        let (received_sender, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(text) = queue.recv().await {
                if sender.send(text).await.is_err() {
                    return;
                }
            }
            let _ = sender.close().await;
        });
        tokio::spawn(async move {
            while let Ok(message) = receiver.receive().await {
                let value = match message {
                    ReceivedMessage::Text(text) => serde_json::from_str(&text).unwrap(),
                    ReceivedMessage::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap(),
                    ReceivedMessage::Pong => continue,
                };
                if received_sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self {
            to_send,
            received,
            notifications: VecDeque::new(),
            next_id: 1000,
        }
    }

    /// Sends a text and returns the next message that is no notification.
    pub(crate) async fn exchange(&mut self, text: &str) -> Value {
        self.to_send.send(text.to_string()).unwrap();
        loop {
            let message = within(self.received.recv()).await.expect("the socket is open");
            if message.get("method").is_none() {
                return message;
            }
            self.notifications.push_back(message);
        }
    }

    /// Calls a method; returns `result` or, as an error, `error`.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.next_id += 1;
        let id = self.next_id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut response = self.exchange(&request.to_string()).await;
        assert_eq!(response["id"], json!(id));
        assert_eq!(response["jsonrpc"], json!("2.0"));
        match response.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(response["result"].take()),
        }
    }

    /// The next notification of any subscription.
    pub(crate) async fn notification(&mut self) -> Value {
        match self.notifications.pop_front() {
            Some(notification) => notification,
            None => {
                let message = within(self.received.recv()).await.expect("the socket is open");
                assert!(message.get("method").is_some(), "{message}");
                message
            }
        }
    }

    /// The item of the next notification, which must be one of `subscription` with this item name.
    pub(crate) async fn item(&mut self, item_name: &str, subscription: &Value) -> Value {
        let mut notification = self.notification().await;
        assert_eq!(notification["method"], json!(item_name));
        assert_eq!(&notification["params"]["subscription"], subscription);
        assert_eq!(notification.as_object().unwrap().len(), 3);
        notification["params"]["result"].take()
    }

    /// Waits until the other side closes the socket.
    pub(crate) async fn closed(&mut self) {
        while within(self.received.recv()).await.is_some() {}
    }
}
