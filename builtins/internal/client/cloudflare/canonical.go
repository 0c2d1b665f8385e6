package cloudflare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
)

// Canonical is a JSON value without spaces, with sorted keys, and without the named
// fields of its top object. Numbers and strings keep the spelling in which they
// came. It moves bytes only: a zone has thousands of records.
func Canonical(raw json.RawMessage, without ...string) (json.RawMessage, error) {
	if len(raw) == 0 {
		raw = json.RawMessage("null")
	}
	if !json.Valid(raw) {
		return nil, &Error{Kind: Answer, Text: "the answer is not the API's JSON"}
	}
	return rewrite(raw, without), nil
}

// rewrite is Canonical of what is known to be valid JSON.
func rewrite(raw json.RawMessage, without []string) json.RawMessage {
	c := canon{in: raw, out: make([]byte, 0, len(raw))}
	c.value(without)
	return c.out
}

// texts are the named fields of an object that is valid JSON, where each is a text
// without escapes; ok is false for anything else.
func texts(raw json.RawMessage, names ...string) (values []string, ok bool) {
	c := canon{in: raw}
	if c.space(); c.at >= len(raw) || raw[c.at] != '{' {
		return nil, false
	}
	values = make([]string, len(names))
	found := 0
	for c.at++; ; {
		if c.space(); raw[c.at] == '}' {
			return values, found == len(names)
		}
		if raw[c.at] == ',' {
			c.at++
			c.space()
		}
		key := c.text()
		c.space()
		c.at++ // the colon
		c.space()
		i := slices.Index(names, string(key[1:len(key)-1]))
		if i < 0 {
			c.skip()
			continue
		}
		if raw[c.at] != '"' || values[i] != "" {
			return nil, false
		}
		v := c.text()
		if bytes.IndexByte(v, '\\') >= 0 {
			return nil, false
		}
		values[i] = string(v[1 : len(v)-1])
		found++
	}
}

// skip passes over a value.
func (c *canon) skip() {
	for depth := 0; ; {
		switch c.in[c.at] {
		case '"':
			c.text()
			if depth == 0 {
				return
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // a number before the end of its object
			}
			if depth--; depth == 0 {
				c.at++
				return
			}
		case ',':
			if depth == 0 {
				return
			}
		}
		c.at++
	}
}

// canon rewrites valid JSON.
type canon struct {
	in  []byte
	at  int
	out []byte
}

// space skips what stands between tokens.
func (c *canon) space() {
	for c.at < len(c.in) && (c.in[c.at] == ' ' || c.in[c.at] == '\n' || c.in[c.at] == '\t' || c.in[c.at] == '\r') {
		c.at++
	}
}

func (c *canon) value(without []string) {
	c.space()
	switch c.in[c.at] {
	case '{':
		c.object(without)
	case '[':
		c.array()
	case '"':
		c.out = append(c.out, c.text()...)
	default:
		from := c.at
		for c.at < len(c.in) && bytes.IndexByte([]byte(",]} \n\t\r"), c.in[c.at]) < 0 {
			c.at++
		}
		c.out = append(c.out, c.in[from:c.at]...)
	}
}

// text is a string with its quotes.
func (c *canon) text() []byte {
	from := c.at
	for c.at++; c.in[c.at] != '"'; c.at++ {
		if c.in[c.at] == '\\' {
			c.at++
		}
	}
	c.at++
	return c.in[from:c.at]
}

func (c *canon) array() {
	c.at++
	c.out = append(c.out, '[')
	for first := true; ; first = false {
		if c.space(); c.in[c.at] == ']' {
			break
		}
		if !first {
			c.at++ // the comma
			c.out = append(c.out, ',')
		}
		c.value(nil)
	}
	c.at++
	c.out = append(c.out, ']')
}

// field is a key with its quotes, and where its value was written.
type field struct{ key, value []byte }

func (c *canon) object(without []string) {
	c.at++
	var buffer [24]field
	fields := buffer[:0]
	start := len(c.out)
	for first := true; ; first = false {
		if c.space(); c.in[c.at] == '}' {
			break
		}
		if !first {
			c.at++ // the comma
			c.space()
		}
		key := c.text()
		c.space()
		c.at++ // the colon
		from := len(c.out)
		c.value(nil)
		if !slices.Contains(without, string(key[1:len(key)-1])) {
			fields = append(fields, field{key, bytes.Clone(c.out[from:])})
		}
	}
	c.at++
	slices.SortStableFunc(fields, func(a, b field) int { return bytes.Compare(a.key, b.key) })
	c.out = append(c.out[:start], '{')
	for i, f := range fields {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(append(append(c.out, f.key...), ':'), f.value...)
	}
	c.out = append(c.out, '}')
}

// sorted puts objects in an order that depends on them alone: by a key, then by all
// of their text.
func sorted(list []json.RawMessage, key func(json.RawMessage) (string, error)) ([]json.RawMessage, error) {
	type entry struct {
		key string
		raw json.RawMessage
	}
	entries := make([]entry, len(list))
	for i, raw := range list {
		k, err := key(raw)
		if err != nil {
			return nil, err
		}
		entries[i] = entry{k, raw}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.key, b.key), bytes.Compare(a.raw, b.raw)) })
	out := make([]json.RawMessage, len(entries))
	for i, e := range entries {
		out[i] = e.raw
	}
	return out, nil
}

// array joins canonical values.
func array(list []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, raw := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, raw...)
	}
	return append(out, ']')
}

// marshal writes JSON without escaping what is only unsafe in HTML.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
