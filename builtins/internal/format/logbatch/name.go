package logbatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Name is a path on the host. Paths are bytes, and JSON is text: one that is no
// printable text is written quoted, as Go does it, and so comes back byte by byte.
type Name string

// MarshalText writes it.
func (n Name) MarshalText() ([]byte, error) {
	s := string(n)
	if utf8.ValidString(s) && !strings.HasPrefix(s, `"`) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return []byte(s), nil
	}
	return []byte(strconv.Quote(s)), nil
}

// UnmarshalText reads it.
func (n *Name) UnmarshalText(b []byte) error {
	s := string(b)
	if strings.HasPrefix(s, `"`) {
		clear, err := strconv.Unquote(s)
		if err != nil {
			return fmt.Errorf("%.80q is not a quoted name", s)
		}
		s = clear
	}
	*n = Name(s)
	return nil
}

// Files is where the reading of each log stands, by its path.
type Files map[string]Spot

// MarshalJSON writes the paths as names.
func (f Files) MarshalJSON() ([]byte, error) {
	named := make(map[string]Spot, len(f))
	for p, spot := range f {
		key, err := Name(p).MarshalText()
		if err != nil {
			return nil, err
		}
		named[string(key)] = spot
	}
	return json.Marshal(named)
}

// UnmarshalJSON reads them.
func (f *Files) UnmarshalJSON(b []byte) error {
	var named map[string]Spot
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&named); err != nil {
		return err
	}
	*f = make(Files, len(named))
	for key, spot := range named {
		var p Name
		if err := p.UnmarshalText([]byte(key)); err != nil {
			return err
		}
		(*f)[string(p)] = spot
	}
	return nil
}
