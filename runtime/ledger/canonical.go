package ledger

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Canonical returns the one encoding of v: keys sorted and once each, strings as
// encoding/json writes them, numbers as written, no white space.
func Canonical(v any) ([]byte, error) {
	first, err := marshal(v)
	if err != nil {
		return nil, err
	}
	c := canon{src: first, out: make([]byte, 0, len(first))}
	c.value()
	return c.out, c.err
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// canon sorts what marshal wrote. It works on the bytes because decoding to a
// tree and encoding that cost more than the transaction that stores the entry.
// Its input is valid and compact: marshal made it.
type canon struct {
	src, out, spare []byte
	at              int
	err             error
}

// member is a key and where it and its value lie in out.
type member struct {
	key        string
	start, end int
}

func (c *canon) value() {
	switch c.src[c.at] {
	case '{':
		c.object()
	case '[':
		c.copy(1)
		for c.src[c.at] != ']' {
			c.value()
			if c.src[c.at] == ',' {
				c.copy(1)
			}
		}
		c.copy(1)
	case '"':
		c.text()
	default:
		n := 0
		for c.at+n < len(c.src) && c.src[c.at+n] != ',' && c.src[c.at+n] != '}' && c.src[c.at+n] != ']' {
			n++
		}
		c.copy(n)
	}
}

func (c *canon) copy(n int) {
	c.out = append(c.out, c.src[c.at:c.at+n]...)
	c.at += n
}

func (c *canon) object() {
	c.copy(1)
	first := len(c.out)
	var room [16]member
	members, sorted := room[:0], true
	for c.src[c.at] != '}' {
		start := len(c.out)
		key := c.text()
		c.copy(1) // the colon
		c.value()
		sorted = sorted && (len(members) == 0 || members[len(members)-1].key < key)
		members = append(members, member{key, start, len(c.out)})
		if c.src[c.at] == ',' {
			c.at++
			c.out = append(c.out, ',')
		}
	}
	if !sorted {
		c.sort(first, members)
	}
	c.copy(1)
}

// sort rewrites the members of one object in order; of two with one key the
// later stays, as in encoding/json.
func (c *canon) sort(first int, members []member) {
	slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	c.spare = append(c.spare[:0], c.out[first:]...)
	c.out = c.out[:first]
	for i, m := range members {
		if i+1 < len(members) && members[i+1].key == m.key {
			continue
		}
		if len(c.out) > first {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, c.spare[m.start-first:m.end-first]...)
	}
}

// text copies a string and returns what it says. One with escapes or bytes
// beyond ASCII may have come from a RawMessage: it is written anew.
func (c *canon) text() string {
	n, plain := 1, true
	for ; c.src[c.at+n] != '"'; n++ {
		if b := c.src[c.at+n]; b == '\\' {
			plain = false
			n++
		} else if b >= 0x80 {
			plain = false
		}
	}
	raw := c.src[c.at : c.at+n+1]
	if plain {
		c.copy(n + 1)
		return string(raw[1 : len(raw)-1])
	}
	c.at += n + 1
	var s string
	err := json.Unmarshal(raw, &s)
	if err == nil {
		raw, err = marshal(s)
	}
	if err != nil {
		c.err = err
	}
	c.out = append(c.out, raw...)
	return s
}

// encode writes the entry around its body, which is canonical already.
func (e Entry) encode() ([]byte, error) {
	out := make([]byte, 0, len(e.Body)+160)
	var err error
	field := func(key, s string) {
		if s == "" {
			return
		}
		quoted, merr := marshal(s)
		if merr != nil {
			err = merr
		}
		out = append(append(append(out, ',', '"'), key+`":`...), quoted...)
	}
	if len(e.Body) > 0 {
		out = append(append(out, `,"body":`...), e.Body...)
	}
	field("run", e.Run)
	field("step", e.Step)
	field("time", e.Time.Format(time.RFC3339Nano))
	field("type", e.Type)
	v, merr := marshal(e.V)
	if merr != nil {
		err = merr
	}
	out = append(append(out, `,"v":`...), append(v, '}')...)
	out[0] = '{'
	return out, err
}
