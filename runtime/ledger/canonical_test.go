package ledger

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// slow is the plain meaning of Canonical: decode to a tree, encode the tree.
func slow(t *testing.T, v any) []byte {
	t.Helper()
	first, err := marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(first))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	out, err := marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCanonicalIsTheEncodingOfTheTree(t *testing.T) {
	cases := map[string]any{
		"an empty object":               map[string]any{},
		"fields out of order":           Mark{Key: "k", Value: "v"},
		"nested, and in lists":          json.RawMessage(`[{"b":[{"d":1,"c":[]}],"a":{}},[],{}]`),
		"white space in a raw message":  json.RawMessage("{ \"b\" : 1 ,\n \"a\" : [ 1 , 2 ] }"),
		"escapes in a raw message":      json.RawMessage(`{"\u0062":"\u0041\/","a":"\u2028","c\"}":"\\"}`),
		"signs that HTML would escape":  map[string]any{"a": "<&>"},
		"other scripts":                 map[string]string{"ä": "日本", "z": "\u2028", "a": "\x00"},
		"numbers as they were written":  json.RawMessage(`{"b":1.50,"a":1e400,"c":-0}`),
		"two keys of one name":          json.RawMessage(`{"b":1,"a":2,"b":3,"a":{"x":1}}`),
		"keys that share a beginning":   json.RawMessage(`{"ab":1,"a":2,"a!":3,"":4}`),
		"half a surrogate":              json.RawMessage(`{"a":"\ud800"}`),
		"a raw message inside a struct": End{OK: true, Value: json.RawMessage(`{"z":1,"a":2}`)},
		"nothing":                       nil,
		"a word":                        "word",
	}
	for name, v := range cases {
		got, err := Canonical(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := slow(t, v); !bytes.Equal(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[true,null,{"c":"\u00e9"}]}`, `"\ud83d\ude00"`, `{"a":1,"a":2}`, `[]`, `-1.5e3`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		got, err := Canonical(json.RawMessage(raw))
		if err != nil {
			t.Fatal(err)
		}
		if want := slow(t, json.RawMessage(raw)); !bytes.Equal(got, want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestAnEntryIsCanonical(t *testing.T) {
	at := time.Date(2026, 11, 1, 2, 3, 4, 5678, time.FixedZone("CET", 3600))
	for name, body := range map[string]any{"with a body": Mark{Key: "k", Value: "<ä>"}, "without one": nil} {
		for _, place := range [][2]string{{"run", "/0[1]/2"}, {"", ""}, {"r\"1", ""}} {
			e, err := NewEntry(StepMark, at, place[0], place[1], body)
			if err != nil {
				t.Fatal(err)
			}
			if want := slow(t, e); !bytes.Equal(e.Bytes(), want) {
				t.Errorf("%s: got %s, want %s", name, e.Bytes(), want)
			}
			back, err := ParseEntry(7, e.Bytes())
			if err != nil || back.Hash() != e.Hash() || !back.Time.Equal(e.Time) || back.Seq != 7 {
				t.Errorf("%s: parsed to %+v, %v", name, back, err)
			}
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	e, _ := NewEntry(StepMark, time.Unix(0, 0), "r", "/0", Mark{Key: "k"})
	f.Add(e.Bytes())
	f.Add([]byte(`{"v":2,"type":"step.end","body":{"artifacts":[{"id":1}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := ParseEntry(0, raw)
		if err != nil {
			return
		}
		if _, err := Project(e); err == nil && !json.Valid(raw) {
			t.Fatalf("projected what is not JSON: %q", raw)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(Head{Size: 12}.Checkpoint())
	f.Add("runner ledger\n-1\n00\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseCheckpoint(text)
		if err == nil && h.Checkpoint() != text {
			t.Fatalf("%q was read as %+v", text, h)
		}
	})
}
