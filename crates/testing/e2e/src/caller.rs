//! Somebody at the command channel or the session channel: a line, and the answer to it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::gateway::{DEADLINE, Gateway};
use crate::wait;

/// A caller on a stream of any kind.
#[derive(Debug)]
pub struct Caller<S: Read + Write> {
    stream: BufReader<S>,
}

impl Caller<UnixStream> {
    /// One whom the kernel names.
    pub fn connect(gateway: &Gateway) -> anyhow::Result<Self> {
        let path = gateway.path().join("run/command.sock");
        wait::until("the command channel", DEADLINE, || Self::connect_at(&path).ok())
            .map_err(Into::into)
    }

    /// The same, if somebody is there.
    pub fn connect_at(path: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Says nothing more.
    pub fn end(&self) -> anyhow::Result<()> {
        Ok(self.stream.get_ref().shutdown(Shutdown::Write)?)
    }
}

impl Caller<TcpStream> {
    /// One who has yet to name the token.
    pub fn connect_to(address: SocketAddr) -> anyhow::Result<Self> {
        let connect = || TcpStream::connect(address).ok();
        let stream = wait::until("the command channel", DEADLINE, connect)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl<S: Read + Write> Caller<S> {
    pub fn say(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    /// The next line; empty when broadcast has closed.
    pub fn hear(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    pub fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.say(line)?;
        self.hear()
    }
}
