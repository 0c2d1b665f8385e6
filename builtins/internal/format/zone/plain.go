package zone

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Most records are addresses and aliases with plain names. For those the form is
// made without the trip through the wire format, which yields the same: a test
// holds them to it.

// plainName reports a name without anything that has a second spelling but case.
func plainName(s string) bool {
	if len(s) > 200 || s == "" || strings.Contains(s, "..") || s[0] == '.' {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '*':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return true
}

// plainRR is fromRR for the usual records.
func plainRR(rr dns.RR) (Record, bool) {
	h := rr.Header()
	if h.Class != dns.ClassINET || !plainName(h.Name) {
		return Record{}, false
	}
	r := Record{Name: strings.ToLower(h.Name), Type: typeName(h.Rrtype), TTL: h.Ttl}
	switch t := rr.(type) {
	case *dns.A:
		if a, ok := netip.AddrFromSlice(t.A); ok {
			r.Data = a.Unmap().String()
		}
	case *dns.AAAA:
		if a, ok := netip.AddrFromSlice(t.AAAA); ok && !a.Unmap().Is4() {
			r.Data = a.String()
		}
	case *dns.CNAME:
		if plainName(t.Target) {
			r.Data = strings.ToLower(t.Target)
		}
	}
	return r, r.Data != ""
}

// plain is record for the usual ones.
func (o *object) plain(typ string) (Record, bool) {
	if !plainName(o.Name) {
		return Record{}, false
	}
	r := Record{Name: strings.ToLower(dns.Fqdn(o.Name)), Type: typ, TTL: uint32(o.TTL)}
	switch typ {
	case "A", "AAAA":
		if a, err := netip.ParseAddr(o.Content); err == nil && a.Zone() == "" && !a.Is4In6() && a.Is4() == (typ == "A") {
			r.Data = a.String()
		}
	case "CNAME":
		if plainName(o.Content) {
			r.Data = strings.ToLower(dns.Fqdn(o.Content))
		}
	}
	return r, r.Data != ""
}
