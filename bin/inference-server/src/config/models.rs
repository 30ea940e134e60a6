//! Which models the services beside conversion use, and where what they find is kept.

use anyhow::{Result, bail};
use clap::Args;
use parallax_perception::{ENVELOPE, KEEPING};
use parallax_serving::front::envelope::Envelope;

#[derive(Debug, Args)]
pub(crate) struct ModelSettings {
    /// The network of `segment`, by the name of `parallax weights fetch`, in `WEIGHTS_DIR`. Defaults to the first that
    /// is there.
    #[arg(long, env = "SERVER_SEGMENT_MODEL")]
    pub(crate) segment_model: Option<String>,

    /// The networks of `animate`, by the name of `parallax weights fetch`, in `WEIGHTS_DIR`. Defaults to the first that
    /// is there.
    #[arg(long, env = "SERVER_ANIMATE_MODEL")]
    pub(crate) animate_model: Option<String>,

    /// The network that looks at pictures and films, by the name of `parallax weights fetch`, in `WEIGHTS_DIR`.
    /// Defaults to the first that is there.
    #[arg(long, env = "SERVER_PERCEPTION_MODEL")]
    pub(crate) perception_model: Option<String>,

    /// The network that describes pictures and films in words, by the name of `parallax weights fetch`, in
    /// `WEIGHTS_DIR`. Defaults to the first that is there; without one, nothing is described.
    #[arg(long, env = "SERVER_CAPTION_MODEL")]
    pub(crate) caption_model: Option<String>,

    /// Where analyses of films are kept, with their frames: `s3://bucket`, `gs://bucket/folder`, `file:///folder`. No
    /// request names it, so it need not be within `SERVER_OUTPUTS`. Defaults to nowhere.
    #[arg(long, env = "SERVER_PERCEPTION_STORE")]
    pub(crate) perception_store: Option<String>,

    /// The address under which readers find what is kept there, such as `https://films.example`. Defaults to
    /// `SERVER_PERCEPTION_STORE` itself.
    #[arg(long, env = "SERVER_PERCEPTION_URL")]
    pub(crate) perception_url: Option<String>,
}

impl ModelSettings {
    /// Checks what goes together.
    ///
    /// # Errors
    /// Names the variable.
    pub(super) fn validate(&self, offers_perception: bool) -> Result<()> {
        let of_perception = [
            ("SERVER_PERCEPTION_MODEL", &self.perception_model),
            ("SERVER_CAPTION_MODEL", &self.caption_model),
            ("SERVER_PERCEPTION_STORE", &self.perception_store),
            ("SERVER_PERCEPTION_URL", &self.perception_url),
        ];
        let set = of_perception.into_iter().find(|(_, value)| value.is_some());
        if let (Some((variable, _)), false) = (set, offers_perception) {
            bail!("{variable} is for the service perception, which SERVER_SERVICES does not name");
        }
        if self.perception_url.is_some() && self.perception_store.is_none() {
            bail!("SERVER_PERCEPTION_URL is for SERVER_PERCEPTION_STORE, which is not set");
        }
        Ok(())
    }

    /// How clients of the earlier perception service ask.
    pub(super) fn envelope(&self) -> Envelope {
        if self.perception_store.is_some() { KEEPING } else { ENVELOPE }
    }
}
