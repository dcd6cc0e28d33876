"""Addresses that no webhook may go to, in the spellings that attackers use."""

HOSTS = [
    # loopback, and this machine
    *("127.0.0.1", "127.1.2.3", "127.0.0.1.", "0.0.0.0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]"),
    *("localhost", "LOCALHOST", "localhost.", "app.localhost", "App.LocalHost."),
    # other spellings of 127.0.0.1 and of 169.254.169.254
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "127.0.0.01"),
    *("0", "0x7f.1", "00000000.0.0.1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0x"),
    # metadata of clouds, link-local
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "[fd00:ec2::254]"),
    *("[fe80::1]", "[fe80::a9fe:a9fe]", "[fe80::1%25eth0]", "[fe80::1%eth0]"),
    # private, shared, reserved, multicast
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1", "192.0.2.1"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("[fc00::1]", "[fd12:3456::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[4000::1]", "[100::1]"),
    # IPv4 inside IPv6: mapped, compatible, NAT64, 6to4, Teredo
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]"),
    *("[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2002:a00:1::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]"),
]
"""Hosts that are refused as they stand, without asking any name server."""

LEADING_THERE = {
    "loopback.example": "127.0.0.1",
    "loopback6.example": "::1",
    "metadata.example": "169.254.169.254",
    "linklocal.example": "fe80::1",
    "private.example": "10.1.2.3",
    "carrier.example": "100.100.100.200",
    "unique-local.example": "fd00:ec2::254",
    "mapped.example": "::ffff:169.254.169.254",
    "nat64.example": "64:ff9b::7f00:1",
    "6to4.example": "2002:7f00:1::1",
    "unspecified.example": "0.0.0.0",
    "multicast.example": "224.0.0.1",
    "one-of-two.example": "93.184.216.34 127.0.0.1",
    "last-of-many.example": "93.184.216.34 2606:4700::1111 169.254.169.254",
}
"""Names, and where a name server says they lead."""
