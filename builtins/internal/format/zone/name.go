package zone

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

// punycode maps as resolvers do and takes what zones hold beside names of hosts:
// underscores, asterisks.
var punycode = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// Name is the one form in which a zone is named: lower case, in Punycode, without
// the dot at the end. A name that cannot be one is only lowered.
func Name(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if ascii(name) {
		return name
	}
	if p, err := punycode.ToASCII(name); err == nil {
		return strings.TrimSuffix(p, ".")
	}
	return name
}

// Unicode is a zone's name as people write it.
func Unicode(name string) string {
	if u, err := idna.Punycode.ToUnicode(name); err == nil {
		return u
	}
	return name
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// owner is a name as records are compared by: absolute, lower case, each byte with
// the one spelling that it has after a trip through the wire format. An API may give
// blanks and other letters as they are, as \032 or behind a backslash.
func owner(name string) (string, error) {
	if plainName(name) {
		return strings.ToLower(dns.Fqdn(name)), nil
	}
	if !ascii(name) {
		name = Name(name)
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '\\' && i+1 < len(name):
			b.WriteString(name[i : i+2])
			i++
		case c <= ' ' || c > '~' || strings.IndexByte(`"();@$`, c) >= 0:
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(dns.Fqdn(b.String()), wire, 0, nil, false)
	if err != nil {
		return "", fmt.Errorf("bad name: %w", err)
	}
	back, _, err := dns.UnpackDomainName(wire[:n], 0)
	if err != nil {
		return "", fmt.Errorf("bad name: %w", err)
	}
	return strings.ToLower(back), nil
}

// targets names the types whose data ends with a name.
var targets = map[string]bool{"CNAME": true, "DNAME": true, "MX": true, "NS": true, "PTR": true, "SRV": true}

// asciiTarget is the data of such a record with its name in Punycode.
func asciiTarget(typ, data string) string {
	if !targets[typ] || ascii(data) {
		return data
	}
	f := strings.Fields(data)
	f[len(f)-1] = Name(f[len(f)-1])
	return strings.Join(f, " ")
}
