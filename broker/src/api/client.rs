//! The client at the other end of a connection: turns its frames into calls.

mod authentication;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_core::authentication::{Expected, Session, Unexpected};
use ottla_core::config::settings::security::ListenerSecurity;
use ottla_protocol::api::ApiKey;
use ottla_protocol::codec::Reader;
use ottla_protocol::frame::RequestHeader;

use super::{Call, Context, Error, RequestContext, api_versions, begin, controllers};
use crate::authorizer::{self, Principal};

/// The client of one connection: who it is, and how far its login has come.
pub struct Client {
    context: Arc<Context>,
    request: RequestContext,
    security: Arc<ListenerSecurity>,
    /// How far its login has come, on a listener where there is one.
    session: Option<Session>,
}

impl Client {
    /// The client at `client_host` that connected to `listener`.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        client_host: IpAddr,
        listener: Arc<str>,
        connection_id: u64,
    ) -> Self {
        let security = context.settings.security(&listener);
        let controllers = &context.settings.controller_listener_names;
        let asks_controller = listener.eq_ignore_ascii_case(controllers);
        let limits = security.sasl.as_ref().map(|sasl| Arc::clone(&sasl.limits));
        let request = RequestContext {
            api_key: ApiKey::ApiVersions,
            api_version: 0,
            client_id: None,
            principal: Principal::anonymous(client_host),
            is_by_token: false,
            listener,
            asks_controller,
            connection_id,
            allowance: None,
            throttle: Duration::ZERO,
            begun: None,
        };
        Self {
            context,
            request,
            security,
            session: limits.map(Session::new),
        }
    }

    /// The same, whose certificate or login says this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.request.principal.name = format!("User:{name}").into();
        self
    }

    /// Whether it is known who it is, as far as anybody has to say who they are here.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.user().is_some())
    }

    /// Whether the connection is to be closed once what was answered is sent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_over)
    }

    /// For how long nothing more is to be read because of the request that began last.
    #[must_use]
    pub fn throttle(&self) -> Duration {
        self.request.throttle
    }

    /// Finds the quotas that hold for the client now. Brokers have none: neither copies nor
    /// transactions wait for clients.
    fn renew_allowance(&mut self) {
        let request = &mut self.request;
        let quotas = &self.context.quotas;
        let generation = quotas.generation();
        if generation == 0 {
            request.allowance = None;
            return;
        }
        let (user, client_id) = (&request.principal.name, request.client_id.as_ref());
        let image = || self.context.controller.image();
        if authorizer::is_some_follower(client_id.map(|id| &**id), image) {
            request.allowance = None;
            return;
        }
        let known = request.allowance.as_ref();
        if !known.is_some_and(|known| known.is_of(generation, user, client_id)) {
            request.allowance = Some(quotas.allowance(user, client_id));
        }
    }

    /// Counts what a producer sends when it begins, so that none of what it sends behind it is read
    /// before it is paid for.
    fn charge(&mut self, bytes: usize) {
        let allowance = self.request.allowance.as_ref();
        let quota = allowance.and_then(|allowance| allowance.produce.as_ref());
        if let Some(quota) = quota.filter(|_| self.request.api_key == ApiKey::Produce) {
            self.request.throttle = self.context.quotas.take(quota, bytes as f64);
        }
    }

    /// Answers ApiVersions. What is owed of the time of requests is told and waited for, as with
    /// any other; the time that this one takes counts from the next on.
    fn tell_versions(&mut self, header: &RequestHeader, reader: Reader) -> Result<Call, Error> {
        // before a login a connection lives for seconds, and nobody has a quota
        if self.is_authenticated() {
            self.renew_allowance();
        }
        let allowance = self.request.allowance.clone();
        let limit = allowance.as_ref().and_then(|it| it.request.as_ref());
        let (context, began) = (&self.context, self.context.env.now());
        let owed = limit.map_or(Duration::ZERO, |limit| context.quotas.wait_for_time(limit));
        let asks_controller = self.request.asks_controller;
        let call = api_versions::call(context, header, reader, asks_controller, owed);
        if let Some(limit) = limit {
            let took = context.env.now().saturating_sub(began);
            self.request.throttle = context.quotas.take_time(limit, took).max(owed);
        }
        call
    }

    /// Begins the request in `frame`.
    ///
    /// # Errors
    /// Why the connection must be closed.
    pub fn call(&mut self, frame: BytesMut) -> Result<Call, Error> {
        let session = self.session.as_ref();
        if session.is_some_and(|session| session.expected() == Expected::Token) {
            return authentication::bare_token(self, &frame);
        }
        let bytes = frame.len();
        let mut reader = Reader::new(frame);
        let header = RequestHeader::read(&mut reader)?;
        if let Some(session) = &self.session {
            let admitted = session.admit(self.context.env.now(), header.api_key);
            if admitted == Err(Unexpected::Expired) {
                self.context.metrics.sessions_expired.inc();
            }
            admitted?;
            let token = session.delegation_token().filter(|_| session.is_done());
            if let Some(token) = token.filter(|_| header.api_key != ApiKey::SaslHandshake)
                && !self.context.token_holds(token)
            {
                self.context.metrics.sessions_expired.inc();
                return Err(Unexpected::Expired.into());
            }
        }
        if self.request.client_id.as_deref() != header.client_id.as_deref() {
            self.request.client_id = header.client_id.as_deref().map(Arc::from);
        }
        self.request.api_key = header.api_key;
        self.request.api_version = header.api_version;
        self.context.metrics.request(header.api_key);
        self.request.throttle = Duration::ZERO;
        let began = self.context.env.now();
        let api = header.api_key;
        let call = match api {
            ApiKey::ApiVersions => self.tell_versions(&header, reader),
            ApiKey::SaslHandshake => authentication::handshake(self, &header, reader),
            ApiKey::SaslAuthenticate => authentication::authenticate(self, header, reader),
            _ if self.request.asks_controller && !controllers::serve(api) => {
                let version = header.api_version;
                return Err(Error::Unsupported { api, version });
            }
            _ => {
                self.renew_allowance();
                self.charge(bytes);
                return begin(&self.context, header, self.request.clone(), reader);
            }
        };
        let took = self.context.env.now().saturating_sub(began);
        self.context.metrics.answered(api, took);
        call
    }
}
