package rearhost

import "github.com/neosofia/runner/runtime"

// Codes are those of an image that was not made.
func Codes() []runtime.Code {
	return []runtime.Code{
		{Name: "E_NO_ASSET", Doc: "the site declares no row of the SOP's table for it"},
		{Name: "E_REAR_MISSING", Doc: "ReaR is not installed on the host"},
		{Name: "E_REAR_OLD", Doc: "ReaR on the host is older than 2.7"},
		{Name: "E_REAR_BUSY", Doc: "another ReaR runs on the host; tried again"},
		{Name: "E_REAR_ASKED", Doc: "ReaR asked a question that nobody answers"},
		{Name: "E_REAR_SPACE", Doc: "there is no space left for the image or the archive"},
		{Name: "E_REAR_KILLED", Doc: "ReaR was killed, or its log has no end; tried again"},
		{Name: "E_REAR_FAILED", Doc: "ReaR ended with an error; its words follow"},
		{Name: "E_REAR_IMAGE", Doc: "ReaR made an image that cannot recover the host; the text says what is missing"},
		{Name: "E_REAR_CHAIN", Doc: "a differential archive does not build on the full one that the ledger knows"},
		{Name: "E_REAR_CLEAR", Doc: "the archive would lie on a medium in clear"},
		{Name: "E_USB_ABSENT", Doc: "the stick is not plugged in"},
		{Name: "E_USB_WRONG", Doc: "another stick or disk is in its place"},
		{Name: "E_USB_FULL", Doc: "the stick is full"},
		{Name: "E_USB_PULLED", Doc: "the stick was pulled out while it was written"},
		{Name: "E_LAYOUT_HOLDS_COPIES", Doc: "a recovery would erase copies"},
		{Name: "E_LAYOUT_HOLDS_GUESTS", Doc: "a recovery would erase guests, and one of them has no proven copy elsewhere"},
	}
}
