//! Addresses that customers' Workers may connect to besides public ones.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address, or a block of addresses in CIDR notation (RFC 4632), on which the platform itself does not listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBlock {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not an [`AddressBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddressBlock {
    /// It is no address.
    #[error("this is not an address such as 127.0.0.2, or a block of addresses such as 10.0.0.0/8")]
    Malformed,
    /// The platform listens there.
    #[error(
        "the platform itself listens on 127.0.0.1, where customers' Workers would reach it; give the other server an address of \
         its own, such as 127.0.0.2"
    )]
    Platform,
}

impl AddressBlock {
    fn contains(&self, address: IpAddr) -> bool {
        let masked = |bits: u128, width: u8| bits.checked_shr(u32::from(width - self.prefix)).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                masked(u32::from(own).into(), 32) == masked(u32::from(other).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => masked(own.into(), 128) == masked(other.into(), 128),
            _ => false,
        }
    }

    /// Whether a connection to one of the addresses reaches the platform. 0.0.0.0 and :: are this machine, too.
    fn reaches_platform(&self) -> bool {
        let v4 = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED];
        let v6 = [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED];
        let mapped = v4.map(|address| address.to_ipv6_mapped());
        let all = v4.into_iter().map(IpAddr::V4).chain(v6.into_iter().chain(mapped).map(IpAddr::V6));
        all.into_iter().any(|address| self.contains(address))
    }
}

impl FromStr for AddressBlock {
    type Err = InvalidAddressBlock;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| InvalidAddressBlock::Malformed)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(prefix) => {
                prefix.parse().ok().filter(|prefix| *prefix <= width).ok_or(InvalidAddressBlock::Malformed)?
            }
        };
        let block = Self { address, prefix };
        if block.reaches_platform() { Err(InvalidAddressBlock::Platform) } else { Ok(block) }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_blocks_are_accepted() {
        for (text, printed) in [
            ("127.0.0.2", "127.0.0.2/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.168.1.7/24", "192.168.1.7/24"),
            ("127.1.0.0/16", "127.1.0.0/16"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1/128"),
        ] {
            assert_eq!(text.parse::<AddressBlock>().expect(text).to_string(), printed);
        }
    }

    #[test]
    fn addresses_of_the_platform_are_refused() {
        for text in [
            "127.0.0.1",
            "127.0.0.0/8",
            "0.0.0.0",
            "0.0.0.0/0",
            "0.0.0.0/8",
            "::1",
            "::",
            "::/0",
            "::ffff:127.0.0.1",
            "::ffff:0:0/96",
        ] {
            assert_eq!(text.parse::<AddressBlock>(), Err(InvalidAddressBlock::Platform), "{text}");
        }
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0", "private", "10.0.0.1:80", "10.0.0.0/8/8"]
        {
            assert_eq!(text.parse::<AddressBlock>(), Err(InvalidAddressBlock::Malformed), "{text}");
        }
    }
}
