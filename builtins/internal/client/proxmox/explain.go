package proxmox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/tlspin"
	"github.com/neosofia/runner/runtime/failure"
)

// Explain words an error of this client for the operator: what was done with which system,
// what it said, and what to do. What is worded already stays as it is.
func Explain(system, doing string, err error) error {
	if err == nil {
		return nil
	}
	var own *failure.Error
	if errors.As(err, &own) {
		return err
	}
	e := &failure.Error{Code: CodeRefused, System: strings.TrimSpace("proxmox " + system), Doing: doing, Said: err.Error(), Cause: err}
	var api *Error
	var pin *tlspin.Error
	var gone *NoGuestError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &pin):
		e.Code, e.Said = CodeCert, pin.Error()
		e.Hint = "if the certificate was renewed, compare it on the node (pvenode cert info) and put it into fingerprints in site.star; two " +
			"may stand there"
	case errors.As(err, &gone):
		e.Code, e.Said = CodeNoGuest, gone.Error()
		e.Hint = "runner exec policies that call guests() show the names; the token needs VM.Audit on /vms"
	case errors.As(err, &api):
		e.Said = api.Error()
		statusCode(e, api)
	default:
		var op net.Error
		if errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			e.Code, e.Temporary = CodeDown, true
			e.Hint = "is pveproxy running on the node, and is port 8006 open from here?"
		}
	}
	return e
}

func statusCode(e *failure.Error, api *Error) {
	down, _ := api.Unreachable()
	switch {
	case down || api.Status == 503:
		e.Code, e.Temporary = CodeDown, true
		e.Hint = "the node behind the proxy does not answer: is it up, and is pvedaemon running there?"
	case api.Status == 401:
		e.Code = CodeAuth
		e.Hint = "runner secret set NAME stores the token's secret; pveum user token list shows whether it expired"
	case api.Status == 403:
		e.Code = CodeAuth
		e.Hint = RightHint(api.Token, api.Error())
	case strings.Contains(api.Error(), "no quorum"):
		e.Temporary = true
		e.Hint = "the cluster has no quorum: it can be read but not changed (pvecm status)"
	case strings.Contains(api.Error(), "got timeout"):
		e.Temporary = true
	}
}

var refusedRight = regexp.MustCompile(`Permission check failed \((/[^,)]*), ([\w.|, ]+)\)`)

// roleWith is README's role that has a privilege.
func roleWith(privilege string) string {
	switch privilege {
	case "Sys.Audit", "SDN.Audit", "VM.Audit":
		return "RunnerAudit"
	case "VM.Backup", "Datastore.Audit", "Datastore.AllocateSpace":
		return "RunnerBackup"
	case "VM.Allocate", "VM.PowerMgmt", "SDN.Use":
		return "RunnerRestore"
	}
	return "a role that has it"
}

// RightHint says how to give the right that a refusal names.
func RightHint(token, refusal string) string {
	m := refusedRight.FindStringSubmatch(refusal)
	if m == nil {
		return fmt.Sprintf("give the token (and its user) what the refusal asks for; some things Proxmox lets root@pam alone do: pveum acl "+
			"modify PATH --tokens '%s' --roles ROLE", token)
	}
	path, right := m[1], strings.Split(m[2], "|")[0]
	if right == "Sys.Audit" || right == "SDN.Audit" { // README gives it to everything
		path = "/"
	}
	user, _, _ := strings.Cut(token, "!")
	text := fmt.Sprintf("give %s on %s to the token and to its user: pveum acl modify %s --tokens '%s' --users '%s' --roles %s (README, "+
		"\"A token with the least rights\")", right, path, path, token, user, roleWith(right))
	if strings.HasPrefix(path, "/vms/") {
		text += fmt.Sprintf("; an entry of its own on %s, NoAccess for one, hides what is given above it", path)
	}
	return text
}
