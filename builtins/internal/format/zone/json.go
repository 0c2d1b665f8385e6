package zone

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// object is what is read of a Cloudflare record; the rest of its JSON is kept by
// those who keep the bytes.
type object struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Content  string          `json:"content"`
	TTL      float64         `json:"ttl"`
	Priority *float64        `json:"priority"`
	Proxied  bool            `json:"proxied"`
	Comment  *string         `json:"comment"`
	Tags     []string        `json:"tags"`
	Settings json.RawMessage `json:"settings"`
	Data     struct {
		Priority *float64 `json:"priority"`
	} `json:"data"`
}

// FromJSON reads one record of Cloudflare's API. A record whose parts cannot be read
// is one that says so: only what is not a record at all is an error.
func FromJSON(raw json.RawMessage) (Record, error) {
	if len(raw) > MaxRecord {
		return Record{}, fmt.Errorf("read record: %d bytes, want at most %d", len(raw), MaxRecord)
	}
	var o object
	odd := json.Unmarshal(raw, &o)
	if t := new(json.UnmarshalTypeError); odd != nil && (!errors.As(odd, &t) || t.Field == "") {
		return Record{}, fmt.Errorf("read record: %w", odd)
	}
	r, err := o.record()
	if odd != nil || err != nil {
		r = o.unread(errors.Join(odd, err))
	}
	r.Proxied = o.Proxied
	if o.Comment != nil {
		r.Comment = *o.Comment
	}
	slices.Sort(o.Tags)
	r.Tags = strings.Join(o.Tags, ",")
	if r.Settings, err = canonical(o.Settings); err != nil {
		return Record{}, fmt.Errorf("read settings of record %q: %w", o.Name, err)
	}
	return r, nil
}

// unread is a record of which the vendor's bytes are all that is known.
func (o *object) unread(why error) Record {
	r := Record{Name: o.Name, Type: strings.ToUpper(o.Type), Data: quote([]byte(o.Content)),
		Unread: strings.ReplaceAll(why.Error(), "\n", "; ")}
	if name, err := owner(o.Name); err == nil && o.Name != "" {
		r.Name = name
	} else {
		r.Name = quote([]byte(o.Name))
	}
	if !typeWord(r.Type) {
		r.Type = quote([]byte(r.Type))
	}
	if o.TTL > 0 && o.TTL <= math.MaxInt32 {
		r.TTL = uint32(o.TTL)
	}
	return r
}

// record joins the parts as BIND would write them, and reads that.
func (o *object) record() (Record, error) {
	if o.TTL < 0 || o.TTL > math.MaxInt32 || o.TTL != math.Trunc(o.TTL) {
		return Record{}, fmt.Errorf("ttl %v", o.TTL)
	}
	typ := strings.ToUpper(o.Type)
	if o.Name == "" {
		return Record{}, errors.New("bad name")
	}
	if r, ok := o.plain(typ); ok {
		return r, nil
	}
	name, err := owner(o.Name)
	if err != nil {
		return Record{}, err
	}
	if typ == "TXT" || typ == "SPF" {
		text, err := textContent(o.Content)
		if err != nil {
			return Record{}, err
		}
		return Record{Name: name, Type: typ, Data: quote(text), TTL: uint32(o.TTL)}, nil
	}
	if _, known := dns.StringToType[typ]; !known && !strings.HasPrefix(typ, "TYPE") {
		return o.opaque(name, typ)
	}
	if strings.ContainsAny(o.Content, "\r\n\x00") {
		return Record{}, errors.New("the content has more than one line")
	}
	rr, err := one(fmt.Sprintf("x. %d IN %s %s\n", uint32(o.TTL), typ, asciiTarget(typ, o.data(typ))))
	if err != nil {
		return Record{}, err
	}
	rr.Header().Name = name
	return fromRR(rr)
}

// one reads a line that holds one record and nothing else.
func one(line string) (dns.RR, error) {
	zp := dns.NewZoneParser(strings.NewReader(line), ".", "")
	rr, ok := zp.Next()
	if err := zp.Err(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("the content is empty")
	}
	if zp.Comment() != "" {
		return nil, errors.New("the content holds a comment")
	}
	if _, more := zp.Next(); more || zp.Err() != nil {
		return nil, errors.New("the content holds more than one record")
	}
	return rr, nil
}

// opaque is a record of a type that is newer than the library: it is kept, and the
// same as one of the same content.
func (o *object) opaque(name, typ string) (Record, error) {
	if !typeWord(typ) {
		return Record{}, errors.New("bad type")
	}
	return Record{Name: name, Type: typ, Data: quote([]byte(o.Content)), TTL: uint32(o.TTL)}, nil
}

func typeWord(typ string) bool {
	return typ != "" && len(typ) <= 20 && strings.Trim(typ, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// data is the content with its priority in front, where the API keeps that apart.
// Its own documents show the content of a LOC with class and type before it.
func (o *object) data(typ string) string {
	if f := strings.Fields(o.Content); len(f) > 2 && strings.EqualFold(f[0], "IN") && strings.EqualFold(f[1], typ) {
		_, after, _ := strings.Cut(o.Content, f[1])
		o.Content = strings.TrimSpace(after)
	}
	want, apart := map[string]int{"MX": 2, "SRV": 4, "URI": 3}[typ]
	prio := o.Priority
	if prio == nil {
		prio = o.Data.Priority
	}
	if !apart || prio == nil || len(strings.Fields(o.Content)) >= want {
		return o.Content
	}
	return strconv.FormatFloat(*prio, 'f', -1, 64) + " " + o.Content
}

// textContent is the text of a TXT: the API gives it quoted, in one or more
// strings, or plain.
func textContent(content string) ([]byte, error) {
	s := strings.TrimSpace(content)
	if !strings.HasPrefix(s, `"`) {
		return []byte(content), nil
	}
	var out []byte
	for s != "" {
		if s[0] != '"' {
			return nil, errors.New("text beside the quoted strings")
		}
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
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
		if i >= len(s) {
			return nil, errors.New("a quoted string does not end")
		}
		s = strings.TrimLeft(s[i+1:], " \t")
	}
	return out, nil
}

func canonical(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	if m, ok := v.(map[string]any); ok && len(m) == 0 {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// ParseJSON reads an array of Cloudflare records completely, one at a time.
func ParseJSON(ctx context.Context, r io.Reader) ([]Record, error) {
	bounded := &io.LimitedReader{R: r, N: MaxBytes + 1}
	d := json.NewDecoder(bounded)
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.Join(errors.New("read records: want a JSON array"), err)
	}
	var out []Record
	for d.More() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		rec, err := FromJSON(raw)
		if err != nil {
			return nil, err
		}
		if len(out) == MaxRecords {
			return nil, fmt.Errorf("read records: more than %d", MaxRecords)
		}
		out = append(out, rec)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read records: text after the array")
	}
	if bounded.N <= 0 {
		return nil, fmt.Errorf("read records: more than %d bytes", int64(MaxBytes))
	}
	return out, nil
}
