package cloudflare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What a new state holds.
const (
	AccountID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
	ZoneID    = "9e107d9d372bb6826bd81d3542a419d6"
	ZoneName  = "example.org"
	ListID    = "2c0fc9fa937b11eaa1b71c4d701ab86e"
	TunnelID  = "f70ff985-a4ef-4643-bbbc-4a0ed4fc8415"

	tokenID = "ed17574386854bf78a67040be0a770b0"
	serial  = 2054167900
	then    = "2026-03-01T10:00:00.123456Z"
)

// create makes the state unless it is there; tokens.json is written last.
func (s *Server) create() error {
	_, err := os.Stat(filepath.Join(s.cfg.Dir, "tokens.json"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	account := Object{"id": AccountID, "name": "Example GmbH", "type": "standard", "created_on": then,
		"settings": Object{"enforce_twofactor": true}}
	z, a := "zones/"+ZoneID+"/", "accounts/"+AccountID+"/"
	for _, f := range []struct {
		name string
		data any
	}{
		{"accounts.json", []Object{account}},
		{"zones.json", []Object{zone()}},
		{z + "dns_records.json", records()},
		{z + "dnssec.json", dnssec()},
		{z + "dns_settings.json", dnsSettings()},
		{z + "settings.json", settings()},
		{z + "rulesets.json", zoneRulesets()},
		{z + "access_rules.json", accessRules("zone", ZoneID, "whitelist", "198.51.100.7", "office")},
		{z + "pagerules.json", pageRules()},
		{a + "rulesets.json", accountRulesets()},
		{a + "access_rules.json", accessRules("organization", AccountID, "block", "203.0.113.66", "scanner")},
		{a + "lists.json", lists()},
		{a + "items-" + ListID + ".json", items()},
		{a + "cfd_tunnel.json", tunnels()},
		{a + "configurations-" + TunnelID + ".json", configuration()},
		{a + "routes.json", routes()},
		{a + "virtual_networks.json", virtualNetworks()},
		{"tokens.json", map[string][]string{s.cfg.Token: {}}},
	} {
		if err := s.state.write(f.name, f.data); err != nil {
			return err
		}
	}
	return nil
}

func zone() Object {
	return Object{
		"id": ZoneID, "name": ZoneName, "status": "active", "type": "full", "paused": false, "development_mode": 0,
		"name_servers": []string{"ada.ns.cloudflare.com", "bob.ns.cloudflare.com"}, "original_name_servers": []string{"ns1.example.net"},
		"original_registrar": "example registrar", "original_dnshost": nil, "created_on": "2024-01-02T03:04:05.000000Z", "modified_on": then,
		"activated_on": "2024-01-02T04:04:05.000000Z",
		"meta":         Object{"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": false},
		"owner":        Object{"id": nil, "type": "organization", "name": "Example GmbH"},
		"account":      Object{"id": AccountID, "name": "Example GmbH"},
		"plan": Object{"id": "94f3b7b768b0458b56d2cac4fe5ec0f9", "name": "Pro Website", "price": 20, "currency": "USD",
			"frequency": "monthly", "is_subscribed": true, "can_subscribe": true, "legacy_id": "pro", "legacy_discount": false,
			"externally_managed": false},
		"tenant": Object{"id": nil, "name": nil}, "tenant_unit": Object{"id": nil},
		"permissions": []string{"#dns_records:read", "#zone:read", "#zone_settings:read", "#waf:read"},
	}
}

// record makes one record with what every record has; more are pairs of field and
// value.
func record(n int, typ, name, content string, ttl int, more ...any) Object {
	full := ZoneName
	if name != "@" {
		full = name + "." + ZoneName
	}
	proxiable := typ == "A" || typ == "AAAA" || typ == "CNAME"
	o := Object{"id": fmt.Sprintf("%032x", 0x372e67954025e0ba+n), "name": full, "type": typ, "content": content, "proxiable": proxiable,
		"proxied": false, "ttl": ttl,
		"settings": Object{}, "meta": Object{}, "comment": nil, "tags": []any{}, "created_on": then, "modified_on": then}
	for i := 0; i < len(more); i += 2 {
		o[more[i].(string)] = more[i+1]
	}
	return o
}

func records() []Object {
	dkim := "v=DKIM1; h=sha256; k=rsa; p=" + strings.Repeat("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA", 9)
	return []Object{
		record(1, "A", "@", "192.0.2.10", 1, "proxied", true),
		record(2, "A", "mail", "192.0.2.25", 3600, "comment", "mail server, never proxied", "comment_modified_on", then),
		record(3, "A", "vpn", "192.0.2.40", 1, "tags", []any{"team:ops", "critical"}, "tags_modified_on", then),
		record(4, "AAAA", "@", "2001:db8::10", 1, "proxied", true, "settings", Object{"ipv4_only": false, "ipv6_only": false}),
		record(5, "AAAA", "mail", "2001:db8::25", 3600),
		record(6, "CNAME", "www", "example.org", 1, "proxied", true),
		record(7, "CNAME", "docs", "example.github.io", 1, "settings", Object{"flatten_cname": true}),
		record(8, "CNAME", "app", TunnelID+".cfargotunnel.com", 1, "proxied", true),
		record(9, "MX", "@", "mail.example.org", 1, "priority", 10),
		record(10, "MX", "@", "mx2.example.net", 1, "priority", 20),
		record(11, "TXT", "@", `"v=spf1 mx -all"`, 1),
		record(12, "TXT", "_dmarc", `v=DMARC1; p=reject; rua=mailto:dmarc@example.org`, 1),
		record(13, "TXT", "k1._domainkey", dkim, 1),
		record(14, "CAA", "@", `0 issue "letsencrypt.org"`, 1, "data", Object{"flags": 0, "tag": "issue", "value": "letsencrypt.org"}),
		record(15, "CAA", "@", `0 iodef "mailto:security@example.org"`, 1, "data",
			Object{"flags": 0, "tag": "iodef", "value": "mailto:security@example.org"}),
		record(16, "SRV", "_sip._tcp", "5 5060 sip.example.org", 300, "priority", 10, "data",
			Object{"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.org"}),
		record(17, "HTTPS", "@", `1 . alpn="h3,h2"`, 1, "data", Object{"priority": 1, "target": ".", "value": `alpn="h3,h2"`}),
		record(18, "NS", "lab", "ns1.lab.example.net", 300),
		record(19, "TLSA", "_25._tcp.mail", "3 1 1 "+strings.Repeat("ab", 32), 3600, "data",
			Object{"usage": 3, "selector": 1, "matching_type": 1, "certificate": strings.Repeat("ab", 32)}),
	}
}

// manyRecords are n records of the common types.
func manyRecords(n int) []Object {
	out := make([]Object, n)
	for i := range out {
		name := fmt.Sprintf("h%06d", i)
		switch i % 5 {
		case 0:
			out[i] = record(i, "TXT", name, fmt.Sprintf("v=probe; n=%d", i), 300)
		case 1:
			out[i] = record(i, "AAAA", name, fmt.Sprintf("2001:db8::%x:%x", i>>16, i&0xffff), 1, "proxied", true)
		case 2:
			out[i] = record(i, "CNAME", name, "example.org", 1, "comment", "made for a measurement")
		default:
			out[i] = record(i, "A", name, fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), 300)
		}
	}
	return out
}

func dnssec() Object {
	digest := strings.Repeat("48E939042E82C22542CB377B580DFDC5", 2)
	return Object{"status": "active", "flags": 257, "algorithm": "13", "key_type": "ECDSAP256SHA256", "digest_type": "2",
		"digest_algorithm": "SHA256", "digest": digest, "key_tag": 42,
		"ds":         "example.org. 3600 IN DS 42 13 2 " + digest,
		"public_key": "oXiGYrSTO+LSCJ3mohc8EP+CzF9KxBj8/ydXJ22pKuZP3VAC3/Md/k7xZfz470CoRyZJ6gV6vml07IC3d8xqhA==", "modified_on": then,
		"dnssec_multi_signer": false, "dnssec_presigned": false, "dnssec_use_nsec3": false}
}

func dnsSettings() Object {
	return Object{"flatten_all_cnames": false, "foundation_dns": false, "multi_provider": false, "secondary_overrides": false,
		"ns_ttl": 86400, "zone_mode": "standard",
		"nameservers": Object{"type": "cloudflare.standard"}, "internal_dns": Object{},
		"soa": Object{"mname": nil, "rname": "dns.cloudflare.com", "refresh": 10000, "retry": 2400, "expire": 604800, "min_ttl": 3600,
			"ttl": 3600}}
}

func settings() []Object {
	var out []Object
	for _, s := range []struct {
		id    string
		value any
	}{
		{"always_use_https", "on"}, {"brotli", "on"}, {"cache_level", "aggressive"}, {"development_mode", "off"}, {"http3", "on"}, {"ipv6", "on"},
		{"min_tls_version", "1.2"}, {"security_level", "medium"}, {"ssl", "strict"}, {"tls_1_3", "on"},
		{"security_header", Object{"strict_transport_security": Object{"enabled": true, "max_age": 31536000, "include_subdomains": true,
			"preload": false, "nosniff": true}}},
	} {
		o := Object{"id": s.id, "value": s.value, "editable": true, "modified_on": then}
		if s.id == "development_mode" {
			o["time_remaining"] = 0
		}
		out = append(out, o)
	}
	return out
}
