package bundle

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/strictjson"
)

// Names of an index: whether it shows those of the secrets.
const (
	Hidden = "hidden"
	Shown  = "shown"
)

// Index says in clear what lies beside it.
type Index struct {
	V          int         `json:"v"`       // 1
	Set        string      `json:"set"`     // 16 hex digits: who can open it; another set has other recipients
	Names      string      `json:"names"`   // Hidden or Shown
	Bundles    []File      `json:"bundles"` // the same secrets for each class of recipients
	Items      []Item      `json:"items"`
	Threshold  int         `json:"threshold,omitempty"`  // so many custodians together
	Identity   string      `json:"identity,omitempty"`   // the recipient whose identity the custodians have shares of
	Custodians []Custodian `json:"custodians,omitempty"` // by name
}

// File is a bundle, and the canary that has the same recipients.
type File struct {
	Bundle     string   `json:"bundle"`
	Canary     string   `json:"canary"`
	Class      string   `json:"class"`      // Hybrid or Classic
	Recipients []string `json:"recipients"` // fingerprints
	Size       int64    `json:"size"`       // bytes of the bundle, sealed
}

// Item is one secret.
type Item struct {
	Name string `json:"name,omitempty"` // only where names are shown
	Hash string `json:"hash"`           // NameHash
	Size int64  `json:"size"`           // rounded up to 64
}

// Custodian keeps one share.
type Custodian struct {
	Name       string `json:"name"`
	Recipient  string `json:"recipient"` // fingerprint
	File       string `json:"file"`      // the share, sealed
	Commitment string `json:"commitment"`
}

// Encode is the text of the index.
func (x *Index) Encode() ([]byte, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(x, "", " ")
	return append(raw, '\n'), err
}

// ParseIndex reads an index. What it does not know could be plaintext, and is
// refused.
func ParseIndex(raw []byte) (*Index, error) {
	x := new(Index)
	if err := strictjson.Decode(raw, MaxIndex, x); err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *Index) check() error {
	fail := func(format string, args ...any) error { return fmt.Errorf("read the index: "+format, args...) }
	switch {
	case x.V != 1:
		return fail("it is of version %d, this program knows 1", x.V)
	case !isHex(x.Set, 16):
		return fail("it names no set")
	case x.Names != Hidden && x.Names != Shown:
		return fail("names is %.20q", x.Names)
	case len(x.Bundles) == 0 || len(x.Bundles) > 2:
		return fail("it has %d bundles, want one for each class of recipients", len(x.Bundles))
	case len(x.Items) == 0 || len(x.Items) > MaxItems:
		return fail("it has %d secrets, want 1 to %d", len(x.Items), MaxItems)
	}
	files := map[string]bool{}
	for _, b := range x.Bundles {
		if stanza[b.Class] == "" || len(b.Recipients) == 0 || b.Size <= 0 || !isFile(b.Bundle) || !isFile(b.Canary) || files[b.Bundle] ||
			files[b.Canary] || b.Bundle == b.Canary {
			return fail("bundle %.40q is malformed", b.Bundle)
		}
		for _, r := range b.Recipients {
			if !isPrint(r) {
				return fail("%.40q is not a fingerprint", r)
			}
		}
		files[b.Bundle], files[b.Canary] = true, true
	}
	seen := map[string]bool{}
	for i, it := range x.Items {
		if !isHex(it.Hash, 64) || seen[it.Hash] || it.Size < 0 || it.Size%64 != 0 || (it.Name == "") != (x.Names == Hidden) ||
			len(it.Name) > MaxName {
			return fail("secret %d is malformed", i)
		}
		seen[it.Hash] = true
	}
	return x.checkCustodians(files, fail)
}

func (x *Index) checkCustodians(files map[string]bool, fail func(string, ...any) error) error {
	if x.Threshold == 0 && len(x.Custodians) == 0 && x.Identity == "" {
		return nil
	}
	if x.Threshold < 2 || len(x.Custodians) < x.Threshold || len(x.Custodians) > 255 {
		return fail("%d of %d custodians cannot be", x.Threshold, len(x.Custodians))
	}
	if _, _, err := ParseRecipient(x.Identity); err != nil {
		return fail("the identity of the custodians is not an age recipient")
	}
	names := map[string]bool{}
	for _, c := range x.Custodians {
		if !IsCustodian(c.Name) || names[c.Name] || !isFile(c.File) || files[c.File] || !isHex(c.Commitment, 64) || !isPrint(c.Recipient) {
			return fail("custodian %.40q is malformed", c.Name)
		}
		names[c.Name], files[c.File] = true, true
	}
	return nil
}

// IsCustodian says whether a custodian can have that name: it becomes the name of
// a file.
func IsCustodian(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && name[0] != '-'
}

// isFile: the name of an age file beside the index.
func isFile(name string) bool {
	return len(name) <= 64 && strings.HasSuffix(name, ".age") && IsCustodian(strings.TrimSuffix(name, ".age"))
}

func isPrint(s string) bool {
	hex, ok := strings.CutPrefix(s, "age:")
	return ok && isHex(hex, 16)
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
