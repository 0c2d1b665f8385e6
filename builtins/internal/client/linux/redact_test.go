package linux

import (
	"strings"
	"testing"
)

func TestKeysAndPasswordsOfANetworkAreNotExported(t *testing.T) {
	t.Parallel()
	const interfaces, netplan, netdev = "/etc/network/interfaces", "/etc/netplan/50-x.yaml", "/etc/systemd/network/wg0.netdev"
	const whole = "(left out)"
	for name, c := range map[string]struct{ file, in, want string }{
		"a tab": {interfaces, "iface wlan0 inet dhcp\n\twpa-psk\tS3CRET\n\twpa-ssid x",
			"iface wlan0 inet dhcp\n\twpa-psk\t[redacted]\n\twpa-ssid x"},
		"a number in the name":          {interfaces, "wireless-key1 s:S3CRET", "wireless-key1 [redacted]"},
		"wpa-password":                  {interfaces, "  wpa-password   S3CRET", "  wpa-password   [redacted]"},
		"the password of a private key": {interfaces, "wpa-private-key-passwd S3CRET", "wpa-private-key-passwd [redacted]"},
		"a command":                     {interfaces, "post-up iw dev wlan0 connect x key 0:S3CRET", "post-up [redacted]"},
		"a command of IPsec":            {interfaces, "  up ip xfrm state add src 192.0.2.1 enc aes S3CRET", "  up [redacted]"},
		"a command of wpa_supplicant":   {interfaces, "pre-up wpa_passphrase x S3CRET > /run/x", "pre-up [redacted]"},
		"a command that goes on":        {interfaces, "post-up wg set wg0 \\\n    private-key S3CRET\nauto lo", "post-up [redacted]\nauto lo"},
		"a value that goes on":          {interfaces, "wpa-psk \\\n  S3CRET\nauto lo", "wpa-psk  [redacted]\nauto lo"},
		"a command without a key": {interfaces, "post-up iptables -t nat -A POSTROUTING -j MASQUERADE",
			"post-up iptables -t nat -A POSTROUTING -j MASQUERADE"},
		"commented out": {interfaces, "# wpa-psk S3CRET", "# wpa-psk [redacted]"},
		"prose": {"/etc/sysctl.conf", "# Magic system request Key\nkernel.sysrq=438\nkernel.keys.maxkeys = 2000",
			"# Magic system request Key\nkernel.sysrq=438\nkernel.keys.maxkeys = 2000"},
		"names of hosts": {"/etc/hosts", "192.0.2.1 keyserver\n192.0.2.2 private.example.org",
			"192.0.2.1 keyserver\n192.0.2.2 private.example.org"},
		"a line that goes on": {"/etc/nftables.conf", "define x = { 1, \\\n 2 }", "define x = { 1, \\\n 2 }"},
		"a chain":             {"/etc/nftables.conf", "set private {\n\ttype ipv4_addr\n}", "set private {\n\ttype ipv4_addr\n}"},
		"a key of sysctl":     {"/etc/sysctl.d/x.conf", "net.ipv4.tcp_fastopen_key=S3CRET", "net.ipv4.tcp_fastopen_key=[redacted]"},

		"WireGuard": {netdev, "[NetDev]\nName=wg0\n[WireGuard]\nPrivateKey = " +
			"S3CRET\n[WireGuardPeer]\nPublicKey=AAAA\nPresharedKey=S3CRET", "[NetDev]\nName=wg0\n[WireGuard]\nPrivateKey = " +
			"[redacted]\n[WireGuardPeer]\nPublicKey=AAAA\nPresharedKey=[redacted]"},
		"MACsec":                {netdev, "[MACsecTransmitAssociation]\nKey=S3CRET", "[MACsecTransmitAssociation]\nKey=[redacted]"},
		"a key that goes on":    {netdev, "PrivateKey=\\\nS3CRET\nMTUBytes=1", "PrivateKey= [redacted]\nMTUBytes=1"},
		"a remark of networkd":  {netdev, "; the key is S3CRET\n[NetDev]", "# [redacted]\n[NetDev]"},
		"a key without a name":  {netdev, "[WireGuard]\nthe key S3CRET", whole},
		"a key on a line alone": {netdev, "PrivateKeyS3CRET", whole},

		"netplan's key": {netplan, "    key: S3CRET\n    mtu: 1", "    key: [redacted]\n    mtu: 1"},
		"netplan's keys": {netplan, "keys:\n  private: S3CRET\npeers:\n  - keys:\n      public: AAAA\n      shared: S3CRET",
			"keys:\n  private: [redacted]\npeers:\n  - keys:\n      public: AAAA\n      shared: [redacted]"},
		"the password of a client":   {netplan, "client-key-password: \"S3CRET\"", "client-key-password: [redacted]"},
		"a password in a list":       {netplan, "- password: S3CRET\n  x: 1", "- password: [redacted]\n  x: 1"},
		"a name in quotes":           {netplan, "\"password\": \"S3CRET\"", "\"password\": [redacted]"},
		"flow style":                 {netplan, "auth: {password: \"S3CRET\"}", whole},
		"flow style alone":           {netplan, "{password: \"S3CRET\"}", whole},
		"flow style as a key":        {netplan, "keys: {private: S3CRET}", whole},
		"JSON":                       {netplan, "{\"network\": {\"wifis\": {\"w\": {\"password\": \"S3CRET\"}}}}", whole},
		"a block":                    {netplan, "password: |\n  S3CRET", whole},
		"a value on the next line":   {netplan, "password:\n  S3CRET", whole},
		"a plain value of two lines": {netplan, "password: a\n  S3CRET", whole},
		"a text of two lines":        {netplan, "x:\n  password: \"a\n S3CRET\"", whole},
		"a name that is asked for":   {netplan, "? password\n: S3CRET", whole},
		"an anchor":                  {netplan, "password: &p S3CRET", whole},
		"a remark of netplan":        {netplan, "# the password is S3CRET\nnetwork:", "# [redacted]\nnetwork:"},
		"nothing":                    {netplan, "network:\n  version: 2\n  access-points: {}\n", "network:\n  version: 2\n  access-points: {}\n"},
	} {
		clean, found, understood := redactFile(c.file, c.in)
		if !understood {
			clean = whole
		}
		if clean != c.want || found != (clean != c.in) {
			t.Errorf("%s: got %q (found %t), want %q", name, clean, found, c.want)
		}
		if strings.Contains(clean, "S3CRET") {
			t.Errorf("%s: the secret is still there", name)
		}
	}
}
