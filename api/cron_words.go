package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cronWords says in words when a schedule runs, in UTC; nil: only the cron can.
func cronWords(cron string) *string {
	switch cron {
	case "@hourly":
		cron = "0 * * * *"
	case "@daily", "@midnight":
		cron = "0 0 * * *"
	case "@weekly":
		cron = "0 0 * * 0"
	case "@monthly":
		cron = "0 0 1 * *"
	}
	if every, ok := strings.CutPrefix(cron, "@every "); ok {
		return orNull("every " + every)
	}
	f := strings.Fields(cron)
	if len(f) != 5 || f[3] != "*" {
		return nil
	}
	day, ok := cronDay(f[2], f[4])
	if !ok {
		return nil
	}
	return orNull(cronTime(f[0], f[1], day))
}

// cronDay says on which days: "" for each.
func cronDay(ofMonth, ofWeek string) (string, bool) {
	switch {
	case ofMonth == "*" && ofWeek == "*":
		return "", true
	case ofWeek == "*":
		n, err := strconv.Atoi(ofMonth)
		return fmt.Sprintf("on day %d of each month", n), err == nil
	case ofMonth != "*":
		return "", false
	case ofWeek == "1-5":
		return "on weekdays", true
	}
	n, err := strconv.Atoi(ofWeek)
	if err != nil || n < 0 || n > 7 {
		return "", false
	}
	return "on " + time.Weekday(n%7).String() + "s", true
}

// cronTime says at which times of such a day; "": nobody can.
func cronTime(minute, hour, day string) string {
	m, minuteErr := strconv.Atoi(minute)
	h, hourErr := strconv.Atoi(hour)
	everyMinutes, byMinutes := cronStep(minute)
	everyHours, byHours := cronStep(hour)
	then := strings.TrimSpace(day)
	if then != "" {
		then = " " + then
	}
	switch {
	case minuteErr == nil && hourErr == nil && day == "":
		return fmt.Sprintf("every day at %02d:%02d UTC", h, m)
	case minuteErr == nil && hourErr == nil:
		return fmt.Sprintf("at %02d:%02d UTC%s", h, m, then)
	case minuteErr == nil && hour == "*":
		return fmt.Sprintf("every hour at %d minutes past%s", m, then)
	case minuteErr == nil && byHours:
		return fmt.Sprintf("every %d hours at %d minutes past%s", everyHours, m, then)
	case minute == "*" && hour == "*":
		return "every minute" + then
	case byMinutes && hour == "*":
		return fmt.Sprintf("every %d minutes%s", everyMinutes, then)
	}
	return ""
}

// cronStep reads "*/5". A step that doesn't divide an hour or a day is shorter at its end, but close enough to be said so.
func cronStep(field string) (int, bool) {
	n, found := strings.CutPrefix(field, "*/")
	step, err := strconv.Atoi(n)
	return step, found && err == nil && step > 0
}
