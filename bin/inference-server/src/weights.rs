//! Models that are not there yet.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parallax_aws::{Aws, fetch_token};
use parallax_engine_spec::Published;
use parallax_hub::{Event, Model, Token};
use tracing::{info, warn};

use crate::config::Settings;

/// Between two lines of the log about the same file.
const PACE: Duration = Duration::from_secs(10);

/// Where models belong, and who may have them.
#[derive(Debug)]
pub(crate) struct Weights {
    dir: PathBuf,
    models: &'static [Published],
    token_arn: Option<String>,
}

impl Weights {
    /// Those of the engine, when it has any.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let arn = settings.hf_token_arn.clone().filter(|arn| !arn.is_empty());
        let models = settings.engine.0.weights?.needed(settings.depth_model.as_deref());
        Some(Self { dir: settings.weights_dir.clone(), models, token_arn: arn })
    }

    /// Downloads what is missing, and tells `show` how far it is. The token is asked for only now:
    /// weights that are in the image or mounted need none.
    ///
    /// # Errors
    /// The one reason why they cannot be had.
    pub(crate) async fn fetch(&self, show: &(dyn Fn(String) + Sync)) -> Result<()> {
        show("looking for the weights".to_owned());
        let mut settings = parallax_hub::Settings::from_env(self.dir.clone())?;
        if let (None, false, Some(arn)) = (&settings.token, settings.offline, &self.token_arn) {
            let aws = Aws::load(&parallax_aws::Settings::default()).await;
            let secret = fetch_token(&aws.secrets(), arn).await;
            let secret = secret.map_err(|error| anyhow::anyhow!("{}", error.chain()));
            settings.token = Token::new(secret.context("HF_TOKEN_ARN")?.expose());
        }
        let mut teller = Teller { show, total: 0, done: 0, told: None };
        let mut tell = |event| teller.tell(&event);
        for Published { title, licence, .. } in self.models {
            info!(model = title, licence = licence.name, "weights are needed");
        }
        let models: Vec<Model> = self
            .models
            .iter()
            .map(|published| {
                let model = Model::new(published.name, published.repository, published.files);
                published.pin.map_or(model.clone(), |pin| model.pinned(pin.commit, pin.files))
            })
            .collect();
        let fetched = parallax_hub::fetch(&settings, &models, &mut tell).await;
        fetched.with_context(|| format!("WEIGHTS_DIR {}: download the weights", self.dir.display()))
    }
}

struct Teller<'a> {
    show: &'a (dyn Fn(String) + Sync),
    total: u64,
    done: u64,
    told: Option<Instant>,
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event) {
        match event {
            Event::Waiting => (self.show)("another process downloads the weights".to_owned()),
            Event::Planned { files, bytes, .. } => {
                self.total = *bytes;
                info!(files, bytes, "downloading weights");
            }
            Event::Started { file, from, size } => {
                // What an earlier transfer left is not part of the plan.
                self.done = self.done.saturating_sub(*from);
                info!(file, from, size, "downloading");
            }
            Event::Progress { at, .. } => self.show_bytes(self.done.saturating_add(*at)),
            Event::Retrying { file, why, after } => {
                warn!(file, why, ?after, "a download is tried again");
                (self.show)(format!("downloading the weights: {file}: {why}; trying again"));
            }
            Event::Finished { file, size } => {
                self.done = self.done.saturating_add(*size);
                info!(file, size, "downloaded and verified");
                self.show_bytes(self.done);
            }
            Event::Complete { repository, commit } => info!(repository, commit, "complete"),
        }
    }

    fn show_bytes(&mut self, at: u64) {
        let text = format!("downloading the weights: {at} of {} bytes", self.total);
        if self.told.is_none_or(|told| told.elapsed() > PACE) {
            self.told = Some(Instant::now());
            info!("{text}");
        }
        (self.show)(text);
    }
}
