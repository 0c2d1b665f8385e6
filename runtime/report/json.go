package report

import (
	"encoding/json"
	"io"
)

// writeJSON writes v with line breaks, as the --json of every verb does.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// JSON writes the status for programs.
func (s *Status) JSON(w io.Writer) error { return writeJSON(w, s) }

// JSON writes the record of the run for programs.
func (r *Run) JSON(w io.Writer) error { return writeJSON(w, r) }

// JSON writes the list for programs.
func (l RunList) JSON(w io.Writer) error { return writeJSON(w, l) }
