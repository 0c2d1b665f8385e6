package schema

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestASchemaIsUnpackedOrItsFaultIsTold(t *testing.T) {
	whole := packed(t, `{"version":"9.2.3"}`)
	for _, c := range []struct {
		name, want string
		packed     []byte
	}{
		{"a whole one", "", whole},
		{"one that is not packed", "open embedded schema", []byte(`{"version":"9.2.3"}`)},
		{"a cut one", "read embedded schema", whole[:len(whole)-9]},
		{"one that is no JSON", "parse embedded schema", packed(t, `{"version":`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s struct{ Version string }
			err := Read(c.packed, &s)
			switch {
			case c.want == "" && (err != nil || s.Version != "9.2.3"):
				t.Errorf("got %q, %v", s.Version, err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
