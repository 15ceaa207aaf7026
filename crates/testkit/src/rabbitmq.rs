//! A private RabbitMQ node on loopback ports, which tests can stop, freeze, block and inspect.
mod management;
mod node;

use std::{
    env,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::spawn_blocking};

use self::{management::Management, node::Node};

/// The timeout of any operation.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A broker: a private one that is stopped on drop, or an external one.
#[derive(Debug)]
pub struct RabbitMq {
    node: Option<Node>,
    amqp: String,
    management: Management,
}

impl RabbitMq {
    /// Starts a private broker.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start; the message contains its log.
    pub async fn start() -> Self {
        let node = spawn_blocking(Node::start).await.expect("the broker starts");
        let (amqp, url) = (node.amqp_url(), node.management_url());
        Self { node: Some(node), amqp, management: Management::new(&url) }
    }

    /// The broker for tests that do not break it: that of `DEED_TEST_RABBITMQ_URL` and
    /// `DEED_TEST_RABBITMQ_MANAGEMENT_URL`, or one for this process.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        SHARED
            .get_or_init(async || {
                let variables =
                    (env::var("DEED_TEST_RABBITMQ_URL"), env::var("DEED_TEST_RABBITMQ_MANAGEMENT_URL"));
                let (Ok(amqp), Ok(management)) = variables else {
                    return Self::start().await;
                };
                let amqp = amqp.trim_end_matches("/%2f").trim_end_matches('/').to_owned();
                Self { node: None, amqp, management: Management::new(&management) }
            })
            .await
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("only a broker that was started here can be stopped or frozen")
    }

    /// Runs blocking work on another thread, so that the test goes on.
    async fn with_node(&mut self, work: impl FnOnce(&mut Node) + Send + 'static) {
        let mut node = self.node.take().expect("only a broker that was started here can be stopped");
        let done = spawn_blocking(move || {
            work(&mut node);
            node
        });
        self.node = Some(done.await.expect("the broker does as it is told"));
    }

    /// The URL of the default vhost, with credentials.
    pub fn amqp_url(&self) -> String {
        format!("{}/%2f", self.amqp)
    }

    /// The URL of the management interface, with credentials.
    pub fn management_url(&self) -> String {
        self.management.url().to_owned()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.node().pid()
    }

    /// Stops the broker by SIGTERM.
    pub async fn stop(&mut self) {
        self.with_node(|node| node.stop("-TERM")).await;
    }

    /// Kills the broker; confirmed messages are on disk.
    pub async fn kill(&mut self) {
        self.with_node(Node::kill).await;
    }

    /// Starts the broker again after [`stop`](Self::stop) or [`kill`](Self::kill), with the same ports and
    /// data.
    pub async fn start_again(&mut self) {
        self.with_node(Node::start_again).await;
    }

    /// Suspends the process: connections stay open, and nothing is answered.
    pub fn freeze(&self) {
        self.node().signal("-STOP");
    }

    /// Resumes the process.
    pub fn thaw(&self) {
        self.node().signal("-CONT");
    }

    /// Raises the memory alarm: the broker blocks publishing connections.
    pub async fn block(&mut self) {
        self.with_node(|node| node.control(&["set_vm_memory_high_watermark", "absolute", "1"])).await;
    }

    /// Clears the memory alarm.
    pub async fn unblock(&mut self) {
        self.with_node(|node| node.control(&["set_vm_memory_high_watermark", "0.4"])).await;
    }

    /// A fresh vhost; deleted on drop.
    ///
    /// # Panics
    /// When the broker cannot create it.
    pub async fn vhost(&self) -> VHost {
        static MADE: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("test-{}-{number}", std::process::id());
            let path = format!("vhosts/{name}");
            // An earlier run may have left a vhost of this name.
            if self.management.call(Method::PUT, &path, None).await.0 == StatusCode::CREATED {
                let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
                let user = self.management.user();
                self.management.call(Method::PUT, &format!("permissions/{name}/{user}"), Some(all)).await;
                let url = format!("{}/{name}", self.amqp);
                return VHost { name, url, management: self.management.clone() };
            }
        }
    }
}

/// A vhost of a test.
#[derive(Debug)]
pub struct VHost {
    name: String,
    url: String,
    management: Management,
}

impl VHost {
    /// Its AMQP URL, with credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls the management interface; `path` follows `/api/`. Returns status and body, `null` without one.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.management.call(method, path, body).await
    }

    fn queue_path(&self, queue: &str) -> String {
        format!("queues/{}/{queue}", self.name)
    }

    /// The properties of a queue; `None` when it does not exist. Counts are delayed.
    pub async fn queue(&self, queue: &str) -> Option<Value> {
        let (status, body) = self.ask(Method::GET, &self.queue_path(queue), None).await;
        (status == StatusCode::OK).then_some(body)
    }

    /// Declares a durable queue with these arguments.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn declare_queue(&self, queue: &str, arguments: Value) {
        let body = json!({"durable": true, "arguments": arguments});
        let (status, answer) = self.ask(Method::PUT, &self.queue_path(queue), Some(body)).await;
        assert!(status.is_success(), "{queue} is not declared: {status} {answer}");
    }

    /// Deletes a queue with its messages; consumers are cancelled.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn delete_queue(&self, queue: &str) {
        let (status, answer) = self.ask(Method::DELETE, &self.queue_path(queue), None).await;
        assert!(status.is_success(), "{queue} is not deleted: {status} {answer}");
    }

    /// Empties a queue.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn purge_queue(&self, queue: &str) {
        let path = format!("{}/contents", self.queue_path(queue));
        let (status, answer) = self.ask(Method::DELETE, &path, None).await;
        assert!(status.is_success(), "{queue} is not purged: {status} {answer}");
    }

    /// The first messages of a queue with properties and headers. They stay in the queue, and their delivery
    /// counts grow.
    pub async fn peek(&self, queue: &str, count: usize) -> Vec<Value> {
        let body = json!({"count": count, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let path = format!("{}/get", self.queue_path(queue));
        let (_, answer) = self.ask(Method::POST, &path, Some(body)).await;
        answer.as_array().cloned().unwrap_or_default()
    }

    /// The names of the connections to this vhost.
    pub async fn connections(&self) -> Vec<String> {
        let (_, answer) = self.ask(Method::GET, &format!("vhosts/{}/connections", self.name), None).await;
        let names = answer.as_array().into_iter().flatten();
        names.filter_map(|connection| Some(connection["name"].as_str()?.to_owned())).collect()
    }

    /// Closes all connections to this vhost; returns their number.
    pub async fn kill_connections(&self) -> usize {
        let names = self.connections().await;
        for name in &names {
            let encoded = name.replace(' ', "%20").replace('>', "%3E").replace(':', "%3A");
            self.ask(Method::DELETE, &format!("connections/{encoded}"), None).await;
        }
        names.len()
    }
}

impl Drop for VHost {
    fn drop(&mut self) {
        let (management, path) = (self.management.clone(), format!("vhosts/{}", self.name));
        // On a separate thread, because this may run inside a runtime. Errors do not matter.
        let tidying = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(management.call_once(Method::DELETE, &path));
            }
        });
        let _ = tidying.join();
    }
}

#[cfg(test)]
mod tests;
