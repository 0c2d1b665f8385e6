// Package strictjson reads documents of our own that lie where others can write: one
// JSON document, of known fields and bounded size, with nothing behind it. What is not
// known could be anything, and is refused. It is encoding/json all the same: of two
// equal keys the last counts, and a key fits whatever its case is; a document where
// that matters is checked by who reads it.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode reads raw, of most bytes or fewer, into a pointer. What lies there after an
// error is of no use.
func Decode(raw []byte, most int, into any) error {
	if len(raw) > most {
		return fmt.Errorf("it has more than %d bytes", most)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // More is false before a bracket that closes nothing
		return errors.New("something follows it")
	}
	return nil
}

// Read is Decode of all that r gives; no more than most bytes, and one, are read.
func Read(r io.Reader, most int, into any) error {
	raw, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return err
	}
	return Decode(raw, most, into)
}
