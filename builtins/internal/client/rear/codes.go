package rear

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeMissing     = failure.Code{Name: "E_REAR_MISSING", Doc: "ReaR is not installed on the host"}
	CodeOld         = failure.Code{Name: "E_REAR_OLD", Doc: "ReaR on the host is older than 2.7"}
	CodeBusy        = failure.Code{Name: "E_REAR_BUSY", Doc: "another ReaR runs on the host; tried again"}
	CodeAsked       = failure.Code{Name: "E_REAR_ASKED", Doc: "ReaR asked a question that nobody answers"}
	CodeSpace       = failure.Code{Name: "E_REAR_SPACE", Doc: "there is no space left for the image or the archive"}
	CodeKilled      = failure.Code{Name: "E_REAR_KILLED", Doc: "ReaR was killed, or its log has no end; tried again"}
	CodeFailed      = failure.Code{Name: "E_REAR_FAILED", Doc: "ReaR ended with an error; its words follow"}
	CodeImage       = failure.Code{Name: "E_REAR_IMAGE", Doc: "ReaR made an image that cannot recover the host; the text says what is missing"}
	CodeChain       = failure.Code{Name: "E_REAR_CHAIN", Doc: "a differential archive does not build on the full one that the ledger knows"}
	CodeClear       = failure.Code{Name: "E_REAR_CLEAR", Doc: "the archive would lie on a medium in clear"}
	CodeStickAbsent = failure.Code{Name: "E_USB_ABSENT", Doc: "the stick is not plugged in"}
	CodeStickWrong  = failure.Code{Name: "E_USB_WRONG", Doc: "another stick or disk is in its place"}
	CodeStickFull   = failure.Code{Name: "E_USB_FULL", Doc: "the stick is full"}
	CodeStickPulled = failure.Code{Name: "E_USB_PULLED", Doc: "the stick was pulled out while it was written"}
	CodeHoldsCopies = failure.Code{Name: "E_LAYOUT_HOLDS_COPIES", Doc: "a recovery would erase copies"}
	CodeHoldsGuests = failure.Code{Name: "E_LAYOUT_HOLDS_GUESTS", Doc: "a recovery would erase guests, and one of them has no proven copy " +
		"elsewhere"}
)
