package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxDepth = 16
	maxText  = 64 << 10
)

// strict refuses JSON that could mean two things: encoding/json takes the last
// of two equal keys, and takes a key whatever its case is.
func strict(b []byte) error {
	w := &walker{dec: json.NewDecoder(bytes.NewReader(b))}
	w.dec.UseNumber()
	tok, err := w.dec.Token()
	if err != nil {
		return err
	}
	if tok != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	if err := w.object(1, false); err != nil {
		return err
	}
	if _, err := w.dec.Token(); err != io.EOF {
		return errors.New("something follows it")
	}
	return nil
}

type walker struct{ dec *json.Decoder }

// object walks to the end of an object; exact means that its keys are data.
func (w *walker) object(depth int, exact bool) error {
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return err
		}
		key, _ := tok.(string)
		folded := fold(key)
		if exact {
			folded = key
		}
		if len(key) > maxText || seen[folded] {
			return fmt.Errorf("the key %.40q is there twice, or too long", key)
		}
		seen[folded] = true
		if err := w.value(depth, key == "declared" || key == "fields" || key == "origin"); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

func (w *walker) value(depth int, exact bool) error {
	tok, err := w.dec.Token()
	if err != nil {
		return err
	}
	if s, ok := tok.(string); ok && len(s) > maxText {
		return fmt.Errorf("a text before byte %d is longer than %d", w.dec.InputOffset(), maxText)
	}
	if _, nested := tok.(json.Delim); !nested {
		return nil
	}
	if depth++; depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	if tok == json.Delim('{') {
		return w.object(depth, exact)
	}
	for w.dec.More() {
		if err := w.value(depth, false); err != nil {
			return err
		}
	}
	_, err = w.dec.Token()
	return err
}

// fold makes keys equal that encoding/json takes for each other.
func fold(key string) string { return strings.ToLower(strings.ToUpper(key)) }
