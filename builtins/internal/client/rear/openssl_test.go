package rear

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// madeByOpenSSL is a tar.gz that holds etc/motd, of OpenSSL 3.0:
// openssl enc -aes-256-cbc -pbkdf2 -salt -pass 'pass:correct horse'.
const madeByOpenSSL = "U2FsdGVkX1/o6B591DbyPANVhngzIXtcgdzMYbvQoLTbpHCvWx50+cuufXfnHvBf3yHbZArGDCGcG6GSRR5i0KncG9bNnH6Kw5872bCeTGNNzTT6Mg+WaCss4Gk9JbAdNTv7G7blAwTtmPcuvZVGG3ApanQmQlFDDNntRjldjC4U3kRxOAqQwO8gifULPDpRYnZW3mnYZOH/RAYb4x0N1w=="

func TestEncryptedArchivesAreOpenedWithTheirKey(t *testing.T) {
	whole, err := base64.StdEncoding.DecodeString(madeByOpenSSL)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(whole)/2] ^= 1
	for _, c := range []struct {
		name, key string
		data      []byte
		entries   int64
		want      string // in the error
		note      bool
	}{
		{"the key", "correct horse", whole, 2, "", false},
		{"another key", "battery staple", whole, 0, "*", false},
		{"a block too few", "correct horse", whole[:len(whole)-16], 0, "does not open it", false},
		{"a byte too few", "correct horse", whole[:len(whole)-1], 0, "cipher blocks", false},
		{"a flipped bit", "correct horse", flipped, 0, "*", false},
		{"no key", "", whole, 0, "", true},
		{"no key, and cut", "", whole[:len(whole)-1], 0, "cipher blocks", false},
		{"forty bytes that are not an archive", "correct horse", append([]byte("Salted__"), make([]byte, 40)...), 0, "*", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := &Inspector{Key: []byte(c.key), Plan: &Plan{Encrypted: true}}
			err := i.File(t.Context(), "backup.tar.gz", bytes.NewReader(c.data))
			if (err != nil) != (c.want != "") || err != nil && c.want != "*" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err == nil && (i.Entries != c.entries || (i.Note() != "") != c.note) {
				t.Errorf("got %d entries, note %q; want %d, note: %v", i.Entries, i.Note(), c.entries, c.note)
			}
		})
	}
}

func FuzzDecrypted(f *testing.F) {
	whole, _ := base64.StdEncoding.DecodeString(madeByOpenSSL)
	f.Add(whole, "correct horse")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		i := &Inspector{Key: []byte(key + "x"), Plan: &Plan{Encrypted: true}}
		if i.File(t.Context(), "backup.tar.gz", bytes.NewReader(data)) == nil && i.Entries == 0 {
			t.Error("an archive without entries was taken")
		}
	})
}
