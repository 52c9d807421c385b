//! gRPC with messages as bytes, so that the load costs as little as it can: requests are encoded
//! before the clock starts, answers are looked at and not built.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use custody::core::wire;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{NamedService, StreamingService, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::workload;

/// Passes bytes through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The answer on a submission stream, its parts as bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamAnswer {
    /// Place in the stream.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// A receipt, when it was appended.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub receipt: Option<Bytes>,
    /// A refusal, when it was not.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub refusal: Option<Bytes>,
}

/// A method's path.
pub type Method = http::uri::PathAndQuery;

pub const SUBMIT: Method = Method::from_static("/custody.v1.LedgerService/Submit");
pub const SUBMIT_STREAM: Method = Method::from_static("/custody.v1.LedgerService/SubmitStream");
pub const GET_PROVENANCE: Method =
    Method::from_static("/custody.v1.ProvenanceService/GetProvenance");
pub const BATCH_GET_STANDINGS: Method =
    Method::from_static("/custody.v1.ProvenanceService/BatchGetStandings");
/// Of [`Echo`].
pub const ECHO: Method = Method::from_static("/echo/Unary");
pub const ECHO_STREAM: Method = Method::from_static("/echo/Stream");

/// A request of [`GET_PROVENANCE`] for the item of a serial.
pub fn get_provenance(serial: u64) -> Bytes {
    let request = wire::GetProvenanceRequest {
        unit: workload::item(serial).to_string(),
        ..Default::default()
    };
    request.encode_to_vec().into()
}

/// One call, one answer.
pub async fn unary(channel: &Channel, method: &Method, request: Bytes) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let answer = grpc
        .unary(Request::new(request), method.clone(), Raw)
        .await?;
    Ok(answer.into_inner())
}

/// A stream each way.
pub async fn stream(
    channel: &Channel,
    method: &Method,
    requests: impl tokio_stream::Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let answer = grpc
        .streaming(Request::new(requests), method.clone(), Raw)
        .await?;
    Ok(answer.into_inner())
}

/// What the echo server answers, and what it does first.
#[derive(Clone)]
pub struct Echo {
    /// The answer; none is the request itself.
    pub answer: Option<Bytes>,
    /// Waits for a write to the disk.
    pub disk: Option<crate::limits::Disk>,
}

impl Echo {
    async fn answer(&self, request: Bytes) -> Result<Bytes, Status> {
        if let Some(disk) = &self.disk {
            disk.synced().await;
        }
        Ok(self.answer.clone().unwrap_or(request))
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "echo";
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Response::new(echo.answer(request.into_inner()).await?)) })
    }
}

type Answers = Pin<Box<dyn tokio_stream::Stream<Item = Result<Bytes, Status>> + Send>>;

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let echo = self.clone();
        let mut requests = request.into_inner();
        let (out, answers) = tokio::sync::mpsc::channel(256);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let echo = echo.clone();
                let answer = tokio::spawn(async move { echo.answer(request).await });
                if out.send(answer).await.is_err() {
                    return;
                }
            }
        });
        let answers = tokio_stream::wrappers::ReceiverStream::new(answers);
        let answers = tokio_stream::StreamExt::then(answers, |answer| async move {
            answer
                .await
                .unwrap_or_else(|error| Err(Status::internal(error.to_string())))
        });
        Box::pin(async move { Ok(Response::new(Box::pin(answers) as Answers)) })
    }
}

impl<B> Service<http::Request<B>> for Echo
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
    B::Data: Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let echo = self.clone();
        let streams = request.uri().path().ends_with("Stream");
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Raw);
            Ok(if streams {
                grpc.streaming(echo, request).await
            } else {
                grpc.unary(echo, request).await
            })
        })
    }
}
