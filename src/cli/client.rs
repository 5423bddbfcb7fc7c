//! The HTTP client of every command: one connection to the API, over its Unix
//! socket or over TLS as a kubeconfig says.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT, WARNING};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::exit::{Code, Failure};
use super::kubeconfig;

/// How long the server may take to accept a connection.
const CONNECT_SECONDS_MAX: u64 = 10;
/// How long the server may take for one answer's head: a write waits for flash.
const ANSWER_SECONDS_MAX: u64 = 60;
/// The namespace when nobody names one.
const DEFAULT_NAMESPACE: &str = "default";
/// Bytes of one answer: a list of 100,000 Services.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Which API to talk to.
#[derive(Clone, Debug)]
pub(super) enum Endpoint {
    /// The daemon's socket.
    Socket(PathBuf),
    /// The server of a context of a kubeconfig, or of several files as KUBECONFIG
    /// names them.
    Kubeconfig { files: Vec<PathBuf>, context: Option<String>, from_environment: bool },
}

/// A connection to the API.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    token: Option<String>,
    namespace: String,
}

/// What to ask.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: Bytes,
}

impl<'a> Ask<'a> {
    /// A request with a body.
    pub(super) fn with(method: Method, path: &'a str, content_type: &'a str, body: Bytes) -> Ask<'a> {
        Ask { method, path, accept: JSON, content_type, body }
    }

    /// A GET of JSON.
    pub(super) fn get(path: &'a str) -> Ask<'a> {
        Ask { method: Method::GET, path, accept: JSON, content_type: JSON, body: Bytes::new() }
    }
}

/// The media type of everything but tables and patches.
pub(super) const JSON: &str = "application/json";
/// The media type of a JSON merge patch.
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";
/// Asks for printer columns (spec/api.md section 9).
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

impl Client {
    /// Connects.
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Client, Failure> {
        let deadline = Duration::from_secs(CONNECT_SECONDS_MAX);
        match endpoint {
            Endpoint::Socket(path) => {
                let stream = timeout(deadline, UnixStream::connect(path)).await.map_err(|_| slow())?;
                let stream = stream.map_err(|error| socket_failure(path, &error))?;
                Client::over(stream, "localhost".to_owned(), None).await
            }
            Endpoint::Kubeconfig { files, context, from_environment } => {
                let target = kubeconfig::read(files, context.as_deref())?;
                let unreachable =
                    |error: &dyn std::error::Error| Failure::from_error(Code::Unreachable, &target.authority, error);
                let stream = timeout(deadline, TcpStream::connect(&target.authority)).await.map_err(|_| slow())?;
                let stream = stream.map_err(|error| unreachable(&error))?;
                let connector = tokio_rustls::TlsConnector::from(target.tls.clone());
                let stream = timeout(deadline, connector.connect(target.server_name.clone(), stream)).await;
                let stream = stream.map_err(|_| slow())?.map_err(|error| unreachable(&error))?;
                let mut client = Client::over(stream, target.authority.clone(), target.token).await?;
                client.namespace = target.namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
                if *from_environment {
                    client.check_kind_of_server().await?;
                }
                Ok(client)
            }
        }
    }

    /// The namespace of commands that name none.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whoever exported KUBECONFIG for another cluster did not mean it by typing `edgesvc`.
    async fn check_kind_of_server(&mut self) -> Result<(), Failure> {
        let version = self.ask(Ask::get("/version")).await?.value;
        let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or_default();
        if version.contains("edgesvc") {
            return Ok(());
        }
        let message = format!(
            "{}: KUBECONFIG leads to a server that is no edgesvc (version {version:?}): say --socket for the daemon of this box, or --kubeconfig to use that server all the same",
            self.host
        );
        Err(Failure::new(Code::Usage, message))
    }

    async fn over<S>(stream: S, host: String, token: Option<String>) -> Result<Client, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // The connection ends with the command; what ends it is told to the request under way.
        tokio::spawn(connection);
        Ok(Client { sender, host, token, namespace: DEFAULT_NAMESPACE.to_owned() })
    }

    /// Sends a request and answers its response whatever its status.
    pub(super) async fn send(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(HOST, &self.host)
            .header(USER_AGENT, concat!("edgesvc/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, ask.accept);
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, ask.content_type);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(ask.body))
            .map_err(|error| Failure::new(Code::Usage, format!("{}: {error}", ask.path)))?;
        self.sender.ready().await.map_err(|error| broken(&error))?;
        let response = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), self.sender.send_request(request)).await;
        response.map_err(|_| slow())?.map_err(|error| broken(&error))
    }

    /// Sends a request; a refusal becomes a [`Refusal`].
    pub(super) async fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, AskError> {
        let response = self.send(ask).await?;
        let status = response.status();
        let warnings = response.headers().get_all(WARNING).iter().filter_map(|value| warning(value.to_str().ok()?));
        let warnings = warnings.collect();
        let body = whole(response.into_body()).await?;
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(Answer { value, created: status == StatusCode::CREATED, warnings });
        }
        Err(AskError::Refused(Refusal::of(status, value, &body)))
    }
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) value: Value,
    /// 201: the object is new.
    pub(super) created: bool,
    pub(super) warnings: Vec<String>,
}

/// Why there is no answer, or not the one hoped for.
pub(super) enum AskError {
    /// The server said no.
    Refused(Refusal),
    /// There was no answer.
    Failed(Failure),
}

impl From<Failure> for AskError {
    fn from(failure: Failure) -> AskError {
        AskError::Failed(failure)
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Failure {
        match error {
            AskError::Refused(refusal) => Failure::new(Code::Refused, refusal.to_string()),
            AskError::Failed(failure) => failure,
        }
    }
}

/// A Status the server answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) message: String,
    /// Kind and name of the object.
    pub(super) about: Option<(String, String)>,
    /// Field and message of each cause.
    pub(super) causes: Vec<(String, String)>,
}

impl Refusal {
    pub(super) fn of(status: StatusCode, value: Value, body: &[u8]) -> Refusal {
        let text =
            |value: &Value, member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let causes = value.pointer("/details/causes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut message = text(&value, "message");
        if message.is_empty() {
            message = String::from_utf8_lossy(body).trim().to_owned();
        }
        Refusal {
            code: status.as_u16(),
            reason: text(&value, "reason"),
            message,
            about: value
                .get("details")
                .map(|details| (text(details, "kind"), text(details, "name")))
                .filter(|(kind, name)| !kind.is_empty() && !name.is_empty()),
            causes: causes.iter().map(|cause| (text(cause, "field"), text(cause, "message"))).collect(),
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.code == 404 && self.reason == "NotFound"
    }
}

impl Refusal {
    /// One cause behind the object, several below it, each once.
    fn invalid(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.about {
            Some((kind, name)) => write!(f, "The {kind} {name:?} is invalid")?,
            None => f.write_str("The request is invalid")?,
        }
        let mut causes: Vec<&(String, String)> = Vec::with_capacity(self.causes.len());
        for cause in &self.causes {
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
        f.write_str(": ")?;
        match causes.as_slice() {
            [] => f.write_str(&self.message),
            [(field, message)] => write!(f, "{field}: {message}"),
            causes => causes.iter().try_for_each(|(field, message)| write!(f, "\n* {field}: {message}")),
        }
    }
}

/// As kubectl prints it.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "Error from server: {} (HTTP {})", self.message, self.code),
            "Invalid" => self.invalid(f),
            reason => write!(f, "Error from server ({reason}): {}", self.message),
        }
    }
}

/// The whole body, bounded.
pub(super) async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| Failure::from_error(Code::Unreachable, "", &*error))
}

/// The text of `299 - "text"`.
fn warning(header: &str) -> Option<String> {
    let quoted = header.split_once('"')?.1;
    Some(quoted.rsplit_once('"')?.0.replace("\\\"", "\"").replace("\\\\", "\\"))
}

fn slow() -> Failure {
    Failure::new(Code::Unreachable, "the server does not answer")
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(Code::Unreachable, "the connection to the server failed", error)
}

fn socket_failure(path: &Path, error: &std::io::Error) -> Failure {
    let mend = match error.kind() {
        ErrorKind::NotFound => "is `edgesvc run` running, and with this --run-dir? --socket names another one",
        ErrorKind::ConnectionRefused => "nobody listens there: is `edgesvc run` running?",
        ErrorKind::PermissionDenied => "only root and the user of `edgesvc run` may use it: try sudo",
        _ => "the socket cannot be used",
    };
    let code = if error.kind() == ErrorKind::PermissionDenied { Code::NoPermission } else { Code::Unreachable };
    Failure::new(code, format!("{}: {error} ({mend})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_header_gives_its_text() {
        assert_eq!(warning(r#"299 - "say \"no\"""#).unwrap(), r#"say "no""#);
        assert_eq!(warning("299 - nothing"), None);
    }

    #[test]
    fn refusals_print_as_kubectl_prints_them() {
        let status = serde_json::json!({"reason": "NotFound", "message": "services \"x\" not found"});
        let refusal = Refusal::of(StatusCode::NOT_FOUND, status, b"");
        assert!(refusal.is_not_found());
        assert_eq!(refusal.to_string(), "Error from server (NotFound): services \"x\" not found");
        let cause = |field: &str| serde_json::json!({"field": field, "message": "Required value"});
        let mut status = serde_json::json!({"reason": "Invalid", "message": "long", "details": {"kind": "Service", "name": "x", "causes": [cause("a")]}});
        let text = |status: &Value| Refusal::of(StatusCode::UNPROCESSABLE_ENTITY, status.clone(), b"").to_string();
        assert_eq!(text(&status), "The Service \"x\" is invalid: a: Required value");
        status["details"]["causes"] = serde_json::json!([cause("a"), cause("b")]);
        assert_eq!(text(&status), "The Service \"x\" is invalid: \n* a: Required value\n* b: Required value");
    }
}
