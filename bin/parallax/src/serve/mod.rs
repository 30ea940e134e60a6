//! `parallax serve`: pages for a browser, on which films are dropped, looked at, converted and watched.

mod engines;
mod viewer;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use parallax_listener::{Limits, Listener};
use parallax_media::Tools;
use parallax_pages::{Pages, Settings};
use parallax_process::Termination;
use tokio_util::sync::CancellationToken;

use self::viewer::FilmViewer;
use crate::weights::folder::data_folder;

/// Where nothing else is said.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8017);
/// A player that is paused takes nothing of its film; it asks again for the rest after this.
const STALL: Duration = Duration::from_secs(600);
/// For requests in progress, at the end.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 is any free one. Beyond this machine (not 127.0.0.1 or [::1]) everything, the
    /// link's secret too, goes over the network in the clear.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = ADDRESS)]
    listen: SocketAddr,

    /// A name by which browsers may ask for the pages, beside addresses and `localhost`. May be repeated.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// Where films, results and the queue are kept. Defaults to the folder `parallax/pages` in the user's
    /// data folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Largest film in GB that may be dropped. What the disk has no room for is refused in any case.
    #[arg(long, value_name = "GB", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    largest_upload: u64,
}

pub(crate) fn main(args: &ServeArgs) -> ExitCode {
    parallax_process::end(parallax_process::run(serve(args)), None)
}

async fn serve(args: &ServeArgs) -> Result<()> {
    let mut asked = Termination::listen()?;
    let tools = Tools::find()?;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => data_folder("pages").context("no folder for films: name one by --folder")?,
    };
    let limits = Limits { stall: STALL, ..Limits::default() };
    let listener = Listener::bind(args.listen, limits).await.with_context(|| {
        format!("{}: cannot be listened on; --listen names another place", args.listen)
    })?;
    let address = listener.address()?;
    if !address.ip().is_loopback() {
        eprintln!(
            "warning: {address} is beyond this machine: what is sent there can be read on the way"
        );
    }
    let settings = Settings {
        folder: folder.clone(),
        program: std::env::current_exe().context("find this program")?,
        engines: engines::offered(),
        largest_upload: args.largest_upload * 1_000_000_000,
        hosts: args.host.clone(),
    };
    let stop = CancellationToken::new();
    let pages = Pages::open(settings, Arc::new(FilmViewer::new(tools)), stop.clone())
        .with_context(|| format!("{}", folder.display()))?;
    eprintln!("Films, results and the queue are in {}", folder.display());
    let links = tokio::spawn(print_links(pages.clone(), address));
    let working = tokio::spawn({
        let pages = pages.clone();
        async move { pages.run().await }
    });
    let serving = tokio::spawn(listener.serve(pages.routes(), stop.clone(), GRACE));
    asked.asked().await;
    eprintln!("Stopping; what is being converted goes on the next time.");
    tokio::spawn(asked.exit_on_next(130));
    stop.cancel();
    links.abort();
    working.await.context("the queue crashed")?;
    serving.await.context("the server crashed")?;
    Ok(())
}

/// Shows the link that lets a browser in, and the next one whenever one was used.
async fn print_links(pages: Pages, address: SocketAddr) {
    let mut links = pages.links();
    // What listens everywhere is found here as well.
    let host = match address.ip() {
        ip if !ip.is_unspecified() => SocketAddr::new(ip, address.port()).to_string(),
        _ => format!("localhost:{}", address.port()),
    };
    let mut what = "Open";
    loop {
        let link = links.borrow_and_update().expose().to_owned();
        let line = format!("{what} http://{host}/?token={link}");
        if writeln!(std::io::stdout(), "{line}").is_err() {
            // Nobody reads there any more.
            eprintln!("{line}");
        }
        what = "For another browser:";
        if links.changed().await.is_err() {
            return;
        }
    }
}
