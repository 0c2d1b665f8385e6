package zone

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Record is one record in the form in which records are compared.
type Record struct {
	Name string `json:"name"` // lower case, absolute: "www.example.org."
	Type string `json:"type"` // upper case: "HTTPS"; "TYPE65280" where the library knows no name
	Data string `json:"data"` // RDATA as text, one spelling for equal data; a TXT is one quoted string
	TTL  uint32 `json:"ttl"`  // seconds; 1: Cloudflare's "auto"

	// What only Cloudflare keeps; empty for BIND text.
	Proxied  bool   `json:"proxied,omitempty"`
	Comment  string `json:"comment,omitempty"`
	Tags     string `json:"tags,omitempty"`     // sorted, joined by commas
	Settings string `json:"settings,omitempty"` // canonical JSON: CNAME flattening, private routing and the like

	// Why its data cannot be read. Then Name and Data are what was given, in quotes
	// where they could be taken for more.
	Unread string `json:"unread,omitempty"`
}

// Part names a record that cannot be read, among what is missing of a zone.
func (r Record) Part() string { return "record " + r.Name + " " + r.Type }

// key is what DNS servers would answer.
func (r Record) key() Record {
	return Record{Name: r.Name, Type: r.Type, Data: r.Data, TTL: r.TTL}
}

// String is the record as a line for people.
func (r Record) String() string {
	return fmt.Sprintf("%s %s %s %s", r.Name, ttlText(r.TTL), r.Type, r.Data)
}

func ttlText(ttl uint32) string {
	if ttl == 1 {
		return "auto"
	}
	return fmt.Sprint(ttl)
}

// fromRR normalises what the library has parsed.
func fromRR(rr dns.RR) (Record, error) {
	if r, ok := plainRR(rr); ok {
		return r, nil
	}
	return wired(rr)
}

// wired is fromRR by a trip through the wire format.
func wired(rr dns.RR) (Record, error) {
	h := rr.Header()
	if h.Class != dns.ClassINET {
		return Record{}, fmt.Errorf("read record %s: class %s, want IN", h.Name, dns.ClassToString[h.Class])
	}
	if t := h.Rrtype; t == 0 || t == dns.TypeOPT || t >= 128 && t <= 255 {
		return Record{}, fmt.Errorf("read record %s: %s stands in no zone", h.Name, typeName(t))
	}
	wire, err := packed(rr)
	if err != nil {
		return Record{}, fmt.Errorf("read record %s: %w", h.Name, err)
	}
	back, _, err := dns.UnpackRR(wire, 0)
	if err != nil {
		return Record{}, fmt.Errorf("read record %s: %w", h.Name, err)
	}
	lowerNames(back)
	h = back.Header()
	if h.Rdlength == 0 { // the library takes it for a dynamic update
		return Record{}, fmt.Errorf("read record %s: %s without data", h.Name, typeName(h.Rrtype))
	}
	r := Record{Name: strings.ToLower(h.Name), Type: typeName(h.Rrtype), TTL: h.Ttl}
	switch t := back.(type) {
	case *dns.TXT:
		r.Data, err = textData(t.Txt)
	case *dns.SPF:
		r.Data, err = textData(t.Txt)
	case *dns.RFC3597:
		r.Data = fmt.Sprintf("\\# %d %s", len(t.Rdata)/2, strings.ToLower(t.Rdata))
	default:
		r.Data = strings.TrimPrefix(back.String(), h.String())
		if doubtful(r) && !faithful(r.Type, r.Data, back) { // the form that any type has
			r.Data = fmt.Sprintf("\\# %d %X", h.Rdlength, wire[len(wire)-int(h.Rdlength):])
			return r, nil
		}
		// The library takes a record that breaks off for one with empty fields.
		if plain, _, _ := strings.Cut(r.Data, `"`); strings.Contains(plain, "  ") || strings.HasSuffix(r.Data, " ") {
			err = fmt.Errorf("%s with a field missing", r.Type)
		}
	}
	if err != nil {
		return Record{}, fmt.Errorf("read record %s: %w", h.Name, err)
	}
	return r, nil
}

// doubtful spares the many records of a zone that hold numbers and plain names a second
// reading.
func doubtful(r Record) bool {
	switch r.Type {
	case "NS", "MX", "SRV", "PTR", "DNAME", "SOA":
		return strings.ContainsAny(r.Data, "\"\\();@$")
	}
	return true
}

// faithful reports that the library reads the form that it prints, and reads the same.
func faithful(typ, data string, want dns.RR) bool {
	rr, err := one("x. 1 IN " + typ + " " + data + "\n")
	if err != nil {
		return false
	}
	lowerNames(rr)
	return dns.IsDuplicate(withOwner(rr), withOwner(want))
}

// withOwner is a copy under a name that is the same for all.
func withOwner(rr dns.RR) dns.RR {
	c := dns.Copy(rr)
	c.Header().Name = "x."
	return c
}

func typeName(t uint16) string {
	if n, ok := dns.TypeToString[t]; ok {
		return n
	}
	return fmt.Sprintf("TYPE%d", t)
}

// packed is the record in wire format.
func packed(rr dns.RR) ([]byte, error) {
	buf := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// lowerNames lowers the names in data that DNS compares without case.
func lowerNames(rr dns.RR) {
	switch t := rr.(type) {
	case *dns.CNAME:
		t.Target = strings.ToLower(t.Target)
	case *dns.DNAME:
		t.Target = strings.ToLower(t.Target)
	case *dns.MX:
		t.Mx = strings.ToLower(t.Mx)
	case *dns.NS:
		t.Ns = strings.ToLower(t.Ns)
	case *dns.PTR:
		t.Ptr = strings.ToLower(t.Ptr)
	case *dns.SRV:
		t.Target = strings.ToLower(t.Target)
	case *dns.HTTPS:
		t.Target = strings.ToLower(t.Target)
	case *dns.SVCB:
		t.Target = strings.ToLower(t.Target)
	case *dns.NAPTR:
		t.Replacement = strings.ToLower(t.Replacement)
	case *dns.SOA:
		t.Ns, t.Mbox = strings.ToLower(t.Ns), strings.ToLower(t.Mbox)
	case *dns.DS:
		t.Digest = strings.ToLower(t.Digest)
	}
}

// textData joins the strings of a TXT, which the library gives with escapes.
func textData(parts []string) (string, error) {
	var all []byte
	for _, p := range parts {
		b, err := unescape(p)
		if err != nil {
			return "", err
		}
		all = append(all, b...)
	}
	return quote(all), nil
}

// quote is the one spelling of a text.
func quote(text []byte) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unescape reads \" and \123.
func unescape(s string) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		c, n, err := escaped(s[i+1:])
		if err != nil {
			return nil, err
		}
		out, i = append(out, c), i+n
	}
	return out, nil
}

// escaped reads what follows a backslash: the byte, and how long its spelling is.
func escaped(s string) (byte, int, error) {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	switch {
	case s == "":
		return 0, 0, errors.New("a backslash ends the text")
	case !digit(s[0]):
		return s[0], 1, nil
	case len(s) < 3 || !digit(s[1]) || !digit(s[2]):
		return 0, 0, fmt.Errorf("bad escape \\%.3s", s)
	}
	n := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if n > 255 {
		return 0, 0, fmt.Errorf("bad escape \\%.3s", s)
	}
	return byte(n), 3, nil
}
