package unifi

import (
	"slices"
	"strings"
)

// secretField reports names of fields that hold passwords, keys, or the whole
// configuration of a VPN's client, which has its keys in it.
func secretField(name string) bool {
	name = strings.ToLower(name)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch {
	case name == "key", name == "group_rekey": // which settings these are; an interval
		return false
	case has("public") && !has("private", "secret"):
		return false
	case strings.HasPrefix(name, "x_"), has("psk", "passw", "passphrase", "passcode", "secret", "token", "private", "community", "key",
		"credential"):
		return true
	}
	return has("vpn", "wireguard", "ipsec", "l2tp") && has("configuration", "config_file", "_file")
}
