//! A headless Chromium that a test drives, by chromedriver: the WebDriver protocol is JSON over HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use podlan_conformance::lab::{Command, Error, Place, Running, eventually, patient, set_aside};
use serde_json::{Value, json};

use super::rig::SOON;

const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9515);

/// The key of an element's id in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    session: String,
    place: Place,
    _driver: Running,
}

/// Whether this machine has one; a missing one is a loud skip.
pub(crate) fn is_here() -> bool {
    let has = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let here = has("chromium") && has("chromedriver");
    if !here {
        set_aside("missing chromium, chromedriver: apt-get install chromium chromium-driver");
    }
    here
}

impl Browser {
    pub(crate) fn start() -> Result<Self, Error> {
        let place = Place::lab()?;
        let driver = Command::new(place.clone(), "chromedriver").args([format!("--port={}", AT.port())]);
        let driver = driver.env("HOME", "/run").spawn()?;
        let mut browser = Self { session: String::new(), place, _driver: driver };
        eventually(SOON, "chromedriver answers", || browser.call("GET", "/status", None).map(drop))?;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            "--window-size=1240,1010",
            "--user-data-dir=/run/chromium",
        ];
        let options = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let made = browser.ask("POST", "/session", Some(&options))?;
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap_or_default());
        Ok(browser)
    }

    /// Opens a file.
    pub(crate) fn open(&self, page: &Path) -> Result<(), Error> {
        self.of("POST", "/url", Some(&json!({ "url": format!("file://{}", page.display()) }))).map(drop)
    }

    /// Clicks the first element of this CSS selector, as a person does.
    pub(crate) fn click(&self, selector: &str) -> Result<(), Error> {
        let found = self.of("POST", "/element", Some(&json!({ "using": "css selector", "value": selector })))?;
        let id = found[ELEMENT].as_str().unwrap_or_default();
        self.of("POST", &format!("/element/{id}/click"), Some(&json!({}))).map(drop)
    }

    /// What a script returns.
    pub(crate) fn script(&self, script: &str) -> Result<Value, Error> {
        self.of("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// The text that a person sees in an element.
    pub(crate) fn text(&self, id: &str) -> Result<String, Error> {
        Ok(self
            .script(&format!("return document.getElementById('{id}').innerText"))?
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Prefers `dark` or `light`.
    pub(crate) fn prefers(&self, scheme: &str) -> Result<(), Error> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let asked = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.of("POST", "/goog/cdp/execute", Some(&asked)).map(drop)
    }

    /// What the page's script and the browser complained of.
    pub(crate) fn complaints(&self) -> Result<Value, Error> {
        self.of("POST", "/se/log", Some(&json!({ "type": "browser" })))
    }

    /// Writes what is seen to a PNG.
    pub(crate) fn picture(&self, to: &PathBuf) -> Result<(), Error> {
        let said = self.of("GET", "/screenshot", None)?;
        let text = said.as_str().unwrap_or_default().to_owned();
        let decode = Command::new(self.place.clone(), "sh").args(["-c", "base64 -d >\"$0\""]).arg(to);
        decode.stdin(text).succeeds().map(drop)
    }

    fn of(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.ask(method, &format!("{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.call(method, path, body).map_err(|said| Error::Unreadable { from: format!("chromedriver, {path}"), said })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let asked = self.place.enter(|| {
            let mut stream = TcpStream::connect(AT)?;
            stream.set_read_timeout(Some(patient(SOON)))?;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            )?;
            read_answer(stream)
        });
        let said = asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let (head, json) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        let value: Value = serde_json::from_str(json).map_err(|_| said.clone())?;
        if head.starts_with("HTTP/1.1 200") { Ok(value["value"].clone()) } else { Err(said) }
    }
}

/// One answer, by its content-length: chromedriver keeps the connection open whatever it was asked.
fn read_answer(stream: TcpStream) -> io::Result<Vec<u8>> {
    let (mut reader, mut said, mut length) = (BufReader::new(stream), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            said += &line;
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
        said += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok([said.into_bytes(), body].concat())
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with it; a lab that ends takes both.
        self.call("DELETE", &self.session, None).ok();
    }
}
