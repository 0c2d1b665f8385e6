package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/rclone/rclone/backend/onedrive/api"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"golang.org/x/oauth2"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// graph are the codes of OneDrive that mean more than "it failed".
var graph = map[string]struct {
	code failure.Code
	hint string
}{
	"quotaLimitReached":   {target.CodeFull, "buy space, or shorten what the target keeps; what lies in the recycle bin counts, too"},
	"insufficientStorage": {target.CodeFull, "buy space, or shorten what the target keeps; what lies in the recycle bin counts, too"},
	"accessDenied": {target.CodeDenied, "the account may not do this there: see the rights of the folder and of the app " +
		"registration"},
	"notAllowed":                 {target.CodeDenied, "the account may not do this there"},
	"resourceLocked":             {target.CodeDenied, "a retention policy or a lock holds it"},
	"itemNotFound":               {target.CodeNotFound, ""},
	"malwareDetected":            {target.CodeDamaged, "the store takes it for malware and does not give it back"},
	"serviceNotAvailable":        {target.CodeDown, ""},
	"activityLimitReached":       {target.CodeDown, "the store asks for slowness: set bandwidth or window on the target"},
	"InvalidAuthenticationToken": {target.CodeDenied, "the login does not hold any more: runner cloud login TARGET makes it anew"},
}

// explain words an error of rclone.
func explain(doing string, err error) error {
	var own *failure.Error
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := &failure.Error{Code: target.CodeDown, Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	var refused *oauth2.RetrieveError
	var said *api.Error
	var op *net.OpError
	var call *url.Error
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, fs.ErrorObjectNotFound), errors.Is(err, fs.ErrorDirNotFound):
		e.Code, e.Said, e.Temporary = target.CodeNotFound, "it is not there", false
	case errors.Is(err, fs.ErrorDirectoryNotEmpty):
		e.Code, e.Said, e.Temporary = target.CodeFailed, "the folder is not empty", false
	case errors.Is(err, fs.ErrorPermissionDenied):
		e.Code, e.Said, e.Temporary = target.CodeDenied, "the server denies it", false
	case errors.As(err, &refused), strings.Contains(err.Error(), "couldn't fetch token"), strings.Contains(err.Error(), "token expired"):
		// rclone keeps the type of a refused login only in some of its ways.
		e.Code, e.Temporary = target.CodeDenied, false
		e.Said = "the login is refused: " + between(err.Error(), "couldn't fetch token: ", ": maybe")
		e.Hint = "somebody revoked it, or it was not used for months: runner cloud login TARGET makes it anew"
	case errors.As(err, &said):
		e.Said = said.Error()
		e.Temporary = fserrors.ShouldRetry(err)
		e.Code = target.CodeFailed
		if k, ok := graph[said.ErrorInfo.Code]; ok {
			e.Code, e.Hint = k.code, k.hint
			e.Temporary = e.Code == target.CodeDown
		}
		if strings.HasPrefix(said.ErrorInfo.Code, "5") || strings.HasPrefix(said.ErrorInfo.Code, "429") {
			e.Code, e.Temporary = target.CodeDown, true
		}
		if strings.HasPrefix(said.ErrorInfo.Code, "507") {
			e.Code, e.Temporary, e.Hint = target.CodeFull, false, graph["quotaLimitReached"].hint
		}
	case statusOf(err) > 0:
		status := statusOf(err)
		e.Said = words(status, err)
		switch {
		case status == 507:
			e.Code, e.Temporary, e.Hint = target.CodeFull, false, graph["quotaLimitReached"].hint
		case status == 401 || status == 403:
			e.Code, e.Temporary = target.CodeDenied, false
		case status == 404:
			e.Hint = "an upload that was under way is not known there any more; it begins anew when the run is retried"
		case status >= 400 && status < 500 && status != 429:
			e.Code, e.Temporary = target.CodeFailed, false
		}
	case fserrors.IsFatalError(err):
		e.Code, e.Temporary = target.CodeFailed, false
	case errors.As(err, &syntax):
		e.Said = "what answers is not this store, but something like a web page"
		e.Hint = "does this network want to be logged in to, or does a proxy stand between? look at the store from this machine with curl -i"
	case errors.As(err, &op), errors.As(err, &call):
		if errors.As(err, &call) {
			e.Said = "no answer from " + place(err, "it") + ": " + call.Err.Error()
		}
		e.Hint = "can this machine reach it? curl -I " + place(err, "the store's address")
	}
	return e
}

// place is the server that a call was for.
func place(err error, otherwise string) string {
	var call *url.Error
	if errors.As(err, &call) {
		if u, perr := url.Parse(call.URL); perr == nil && u.Host != "" {
			return u.Scheme + "://" + u.Host
		}
	}
	return otherwise
}

// unauthorized reports that the store does not take the token.
func unauthorized(err error) bool {
	var said *api.Error
	return errors.As(err, &said) && (said.ErrorInfo.Code == "InvalidAuthenticationToken" || said.ErrorInfo.Code == "unauthenticated")
}

// exists reports that something was to be made that is there.
func exists(err error) bool {
	var said *api.Error
	return errors.As(err, &said) && said.ErrorInfo.Code == "nameAlreadyExists"
}

// status finds the answer in errors of rclone that have no type: those of the hosts of
// uploads and downloads.
var status = regexp.MustCompile(`HTTP error (\d{3}) \(([^)]*)\)(?: returned body: "(.*)")?`)

func statusOf(err error) int {
	m := status.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, aerr := strconv.Atoi(m[1])
	if aerr != nil {
		return 0
	}
	return n
}

// words is what the body says, where it is an error of Graph.
func words(n int, err error) string {
	m := status.FindStringSubmatch(err.Error())
	var said api.Error
	if body, uerr := strconv.Unquote(`"` + m[3] + `"`); uerr == nil && json.Unmarshal([]byte(body), &said) == nil &&
		said.ErrorInfo.Code != "" {
		return fmt.Sprintf("%d %s", n, said.Error())
	}
	return m[2]
}

// between is what stands behind a mark and before another, of those that are there.
func between(s, from, to string) string {
	if _, rest, ok := strings.Cut(s, from); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, to)
	return s
}
