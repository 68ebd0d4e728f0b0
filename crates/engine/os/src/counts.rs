//! What the kernel says a socket has taken from us and given to us.
//!
//! On a TCP socket `bytes_sent − bytes_retrans + notsent_bytes`, all from one `TCP_INFO`, is
//! what the application has written, and `bytes_received − FIONREAD` is what it has read; a
//! FIN counts one in sequence space. Two calls can straddle an arrival, so `TCP_INFO` is
//! read again until it agrees with itself.
//!
//! Source: tcp(7) and linux/tcp.h.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::sockopt;

/// Bytes over the whole life of a socket, as its owner counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub read: u64,
    pub written: u64,
}

/// What the kernel can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Known(Counts),
    /// The connection is closed, and whether the peer's FIN is among what was received cannot
    /// be seen any more: the first if it is, the second if not.
    Either(Counts, Counts),
    /// Not TCP: the kernel keeps no counts.
    Unknown,
}

/// How often `TCP_INFO` is read while bytes keep arriving between the calls.
const ATTEMPTS: u32 = 64;

/// The kernel's counts for `socket`.
pub fn counts(socket: impl AsFd) -> io::Result<Truth> {
    let socket = socket.as_fd();
    if sockopt::socket_domain(socket)? == rustix::net::AddressFamily::UNIX {
        return Ok(Truth::Unknown);
    }
    for _ in 0..ATTEMPTS {
        let before = tcp_info(socket)?;
        let unread = rustix::io::ioctl_fionread(socket)?;
        let after = tcp_info(socket)?;
        if before.tcpi_bytes_received != after.tcpi_bytes_received
            || before.tcpi_state != after.tcpi_state
        {
            continue;
        }
        let read = after.tcpi_bytes_received.saturating_sub(unread);
        let own_fin = u64::from(has_unsent_fin(after.tcpi_state, after.tcpi_notsent_bytes));
        let written = (after.tcpi_bytes_sent - after.tcpi_bytes_retrans)
            .saturating_add(after.tcpi_notsent_bytes.into())
            .saturating_sub(own_fin);
        let without = Counts { read, written };
        let with = Counts { read: read.saturating_sub(1), written };
        return Ok(match after.tcpi_state {
            TCP_CLOSE => Truth::Either(with, without),
            TCP_TIME_WAIT | TCP_CLOSE_WAIT | TCP_LAST_ACK | TCP_CLOSING => Truth::Known(with),
            _ => Truth::Known(without),
        });
    }
    Ok(Truth::Unknown)
}

/// The kernel's own number for `socket`, the same in every process that holds it. Never 0.
pub fn cookie(socket: impl AsFd) -> io::Result<u64> {
    Ok(sockopt::socket_cookie(socket)?)
}

// States of a connection (linux/tcp_states.h).
const TCP_FIN_WAIT1: u8 = 4;
const TCP_TIME_WAIT: u8 = 6;
const TCP_CLOSE: u8 = 7;
const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LAST_ACK: u8 = 9;
const TCP_CLOSING: u8 = 11;

/// Whether our own FIN is among what was not sent yet: it counts one there.
const fn has_unsent_fin(state: u8, unsent: u32) -> bool {
    unsent > 0 && matches!(state, TCP_FIN_WAIT1 | TCP_LAST_ACK | TCP_CLOSING)
}

fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    // JUSTIFICATION: rustix has no TCP_INFO.
    // SAFETY: `tcp_info` is plain integers; all zeroes is a value of it.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>())
        .expect("a structure of a few hundred bytes");
    // JUSTIFICATION: rustix has no TCP_INFO.
    // SAFETY: the descriptor is open for the length of the call; the pointers are to `info`
    // and `length`, and the kernel writes no more than `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn known(socket: &TcpStream) -> Counts {
        match counts(socket).unwrap() {
            Truth::Known(counts) => counts,
            Truth::Either(..) | Truth::Unknown => panic!("an open TCP socket has counts"),
        }
    }

    #[test]
    fn the_kernel_counts_what_was_read_and_written_on_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(&[7; 5000]).unwrap();
        let mut part = [0; 1234];
        far.read_exact(&mut part).unwrap();
        far.write_all(b"0123456789").unwrap();
        near.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(known(&near), Counts { read: 4, written: 5000 });
        assert_eq!(known(&far), Counts { read: 1234, written: 10 });

        // A FIN is not a byte.
        near.shutdown(std::net::Shutdown::Write).unwrap();
        far.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        far.read_exact(&mut [0; 3766]).unwrap();
        assert_eq!(far.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(known(&far), Counts { read: 5000, written: 10 });
    }

    #[test]
    fn a_socket_keeps_its_cookie_through_a_copy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let copy = listener.try_clone().unwrap();
        assert_eq!(cookie(&listener).unwrap(), cookie(&copy).unwrap());
        assert_ne!(cookie(&listener).unwrap(), 0);
    }
}
