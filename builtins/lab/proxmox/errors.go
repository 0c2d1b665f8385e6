package proxmox

import (
	"fmt"
	"strings"
)

// refusal is an answer of status 400 and above. The first line of the message
// is the reason phrase, as on a real node.
type refusal struct {
	status  int
	message string
	errors  map[string]string // of a 400
	empty   bool              // no body at all
}

func (r *refusal) Error() string { return r.message }

func (r *refusal) reason() string {
	line, _, _ := strings.Cut(r.message, "\n")
	return line
}

// failf is what a Perl die gives: 500 with the text.
func failf(format string, args ...any) error {
	return &refusal{status: 500, message: fmt.Sprintf(format, args...)}
}

// badParams is a failed parameter check.
func badParams(errs map[string]string) error {
	return &refusal{status: 400, message: "Parameter verification failed.", errors: errs}
}

func badParam(name, text string) error { return badParams(map[string]string{name: text}) }

func forbidden(path, privs string) error {
	return &refusal{status: 403, message: fmt.Sprintf("Permission check failed (%s, %s)", path, privs)}
}

// notServed is the answer to a call that exists in the schema and that the lab
// does not play; a real node would answer it.
func notServed(m, path string) error {
	return &refusal{status: 501, message: fmt.Sprintf("the lab does not serve '%s %s'", m, path)}
}

func notImplemented(m, path string) error {
	return &refusal{status: 501, message: fmt.Sprintf("Method '%s %s' not implemented", m, path)}
}
