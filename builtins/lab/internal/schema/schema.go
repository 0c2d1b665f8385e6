// Package schema opens the vendors' schemas that the lab carries in it, to say of
// every request what the vendor would say: JSON, cut to what is served, and packed.
// What such a schema means is its vendor's own, and stands beside its server.
package schema

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
)

// Read unpacks an embedded schema into a pointer.
func Read(packed []byte, into any) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("open embedded schema: %w", err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return fmt.Errorf("read embedded schema: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("parse embedded schema: %w", err)
	}
	return nil
}
