"""One simulated conversation as API objects: its summary in a list, its details, its recording."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from histfs.simulator import conversation_scripts
from histfs.simulator.clip_bytes import ClipBytes, mp3_clip, sent_file
from histfs.simulator.conversation_scripts import ScriptedTurn, SentFile
from histfs.simulator.conversation_shapes import Outcome, Shape, agent_id

Status = Literal["initiated", "in-progress", "processing", "done", "failed"]

STATUSES: tuple[Status, ...] = ("initiated", "in-progress", "processing", "done", "failed")

_CREDITS_PER_SECOND = 12
_LINE = "+4930900"


@dataclass(frozen=True)
class SimulatedConversation:
    """One conversation.

    Attributes:
        id: Its id.
        time: Unix time of its start, in seconds.
        shape: Its content, without id and time.
        status: Its status in the API's words.
        fields: Values that replace or add to those of its API objects.
    """

    id: str
    time: int
    shape: Shape
    status: Status
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether its status is final."""
        return self.status in ("done", "failed")

    @property
    def has_audio(self) -> bool:
        """Whether its recording is available."""
        return self.status == "done" and self.shape.recorded and self.shape.expired != "audio"

    @property
    def turns(self) -> tuple[ScriptedTurn, ...]:
        """The turns so far: the first half while it is in progress."""
        turns = self.shape.script.turns
        if self.status == "initiated" or self.shape.expired == "transcript":
            return ()
        return turns[: (len(turns) + 1) // 2] if self.status == "in-progress" else turns

    @property
    def duration(self) -> int:
        """The duration so far, in seconds."""
        starts = self.shape.starts
        return round(starts[len(self.turns)] if not self.over else starts[-1])

    @property
    def outcome(self) -> Outcome:
        """The evaluation; "unknown" before it is over."""
        return self.shape.outcome if self.over else "unknown"

    @property
    def source(self) -> str:
        """The API's conversation_initiation_source."""
        phone = self.shape.phone
        return {None: "widget", "sip_trunking": "sip_trunk"}.get(phone, str(phone))

    @property
    def termination_reason(self) -> str:
        """The reason for its end, in a sentence; empty before it is over."""
        if not self.over:
            return ""
        if self.shape.failed:
            return "Failed to connect: the line is busy"
        return "Call ended by remote party" if self.shape.phone else "Client disconnected: 1000"

    @property
    def direction(self) -> str | None:
        """The direction of the phone call; None without a phone."""
        if self.shape.phone is None:
            return None
        return "outbound" if self.shape.outbound else "inbound"

    def summary(self) -> dict[str, object]:
        """Return its object in lists, with the transcript summary."""
        shape, script = self.shape, self.shape.script
        summarized = self.over and not shape.failed
        summary: dict[str, object] = {
            "agent_id": agent_id(shape.agent),
            "branch_id": None,
            "version_id": None,
            "agent_name": conversation_scripts.AGENT_NAMES[shape.agent],
            "conversation_id": self.id,
            "start_time_unix_secs": self.time,
            "call_duration_secs": self.duration,
            "message_count": len(self.messages),
            "status": self.status,
            "termination_reason": self.termination_reason,
            "call_successful": self.outcome,
            "transcript_summary": script.summary if summarized else None,
            "call_summary_title": script.title if summarized else None,
            "main_language": script.language,
            "conversation_initiation_source": self.source,
            "tool_names": script.tools,
            "direction": self.direction,
            "rating": shape.rating,
        }
        if shape.modern:
            summary["tag_ids"] = []
        known = {name: value for name, value in self.fields.items() if name in summary}
        return {**summary, **known}

    def detail(self) -> dict[str, object]:
        """Return its object with all details."""
        shape = self.shape
        agent = agent_id(shape.agent)
        detail: dict[str, object] = {
            "agent_id": agent,
            "agent_name": conversation_scripts.AGENT_NAMES[shape.agent],
            "status": self.status,
            "user_id": shape.user_id,
            "branch_id": None,
            "version_id": None,
            "metadata": self._metadata(),
            "analysis": self._analysis(),
            "visited_agents": [{"agent_id": agent, "branch_id": None}],
            "conversation_initiation_client_data": {
                "conversation_config_override": {},
                "custom_llm_extra_body": {},
                "user_id": shape.user_id,
                "dynamic_variables": {"system__conversation_id": self.id},
            },
            "environment": "production",
            "conversation_id": self.id,
            "has_audio": self.has_audio,
            "has_user_audio": self.has_audio and any(t.role == "user" for t in self.turns),
            "has_response_audio": self.has_audio,
            "transcript": [self._turn(index, turn) for index, turn in enumerate(self.turns)],
        }
        if shape.modern:
            detail["has_auxiliary_audio"] = False
            detail["tag_ids"] = []
        for name, value in self.fields.items():
            old = detail.get(name)
            if isinstance(old, dict) and isinstance(value, dict):
                detail[name] = {**old, **value}
            else:
                detail[name] = value
        return detail

    @property
    def messages(self) -> list[str]:
        """The texts of the turns so far, without turns that have none."""
        transcript = self.fields.get("transcript")
        if not isinstance(transcript, list):
            return [turn.text for turn in self.turns if turn.text]
        messages = (turn.get("message") for turn in transcript if isinstance(turn, dict))
        return [message for message in messages if isinstance(message, str) and message]

    def clip(self, target_size: int | None) -> ClipBytes | None:
        """Return the recording, None without one."""
        if not self.has_audio:
            return None
        title = self.shape.script.title or "Untitled"
        return mp3_clip(
            self.id, title, self.shape.frames, target_size=target_size, key="conversation_id"
        )

    def file(self, file_id: str) -> ClipBytes | None:
        """Return a file that was sent; None when the transcript names none with this id."""
        turns = self.detail()["transcript"]
        for turn in turns if isinstance(turns, list) else []:
            for file in [*(turn.get("file_inputs") or []), turn.get("file_input")]:
                if file and file.get("file_id") == file_id:
                    return sent_file(self.id, file_id, file["mime_type"], self._file_size(file_id))
        return None

    def _file_size(self, file_id: str) -> int:
        sizes = {
            self._file_id(index, number): file.size
            for index, turn in enumerate(self.turns)
            for number, file in enumerate(turn.files)
        }
        return sizes.get(file_id, SentFile.size)

    def _file_id(self, index: int, number: int) -> str:
        digest = hashlib.sha256(f"{self.id} {index} {number}".encode()).hexdigest()
        return f"file_{digest[:20]}"

    def _files(self, index: int, turn: ScriptedTurn) -> list[dict[str, object]]:
        files: list[dict[str, object]] = []
        for number, file in enumerate(turn.files):
            file_id = self._file_id(index, number)
            files.append(
                {
                    "file_id": file_id,
                    "original_filename": file.name,
                    "mime_type": file.mime_type,
                    "file_url": f"https://storage.example.invalid/{file_id}?signature=secret",
                }
            )
        return files

    def _metadata(self) -> dict[str, object]:
        shape = self.shape
        expired_at = {shape.expired: self.time + self.duration}
        metadata: dict[str, object] = {
            "start_time_unix_secs": self.time,
            "accepted_time_unix_secs": None if self.status == "initiated" else self.time,
            "call_duration_secs": self.duration,
            "cost": self.duration * _CREDITS_PER_SECOND if self.over else None,
            "deletion_settings": {
                "deletion_time_unix_secs": None,
                "deleted_logs_at_time_unix_secs": None,
                "deleted_audio_at_time_unix_secs": expired_at.get("audio"),
                "deleted_transcript_at_time_unix_secs": expired_at.get("transcript"),
                "delete_transcript_and_pii": shape.expired == "transcript",
                "delete_audio": shape.expired == "audio",
            },
            "feedback": {
                "type": None if shape.rating is None else "rating",
                "overall_score": None,
                "likes": 0,
                "dislikes": 0,
                "rating": shape.rating,
                "comment": None,
            },
            "authorization_method": "public",
            "charging": {"dev_discount": False, "is_burst": False, "tier": "creator"},
            "phone_call": self._phone_call(),
            "batch_call": None,
            "termination_reason": self.termination_reason,
            "error": {"code": 1011, "reason": "the line is busy"} if shape.failed else None,
            "warnings": [],
            "main_language": shape.script.language,
            "rag_usage": None,
            "text_only": shape.text_only,
            "features_usage": {},
            "initiator_id": None,
            "conversation_initiation_source": self.source,
            "timezone": None,
        }
        if shape.modern:
            metadata["cost_fiat"] = None
        return metadata

    def _phone_call(self) -> Mapping[str, object] | None:
        phone = self.shape.phone
        if phone is None:
            return None
        digest = hashlib.sha256(self.id.encode()).hexdigest()
        call: dict[str, object] = {
            "direction": self.direction,
            "phone_number_id": f"phnum_{digest[-8:]}",
            "agent_number": f"{_LINE}{self.shape.agent:02}",
            "external_number": f"+491555{int(digest[-6:], 16):08}",
            "type": phone,
        }
        if phone == "sip_trunking":
            # A SIP Call-ID may contain nearly any character (RFC 3261, section 25.1).
            call["call_sid"] = f"SCL_{digest[:12]}"
            call["call_id"] = f"{digest[:16]}/1@sip.example.com"
            call["sip_header_dynamic_variables"] = {}
        else:
            call["stream_sid"] = f"MZ{digest[32:]}"
            call["call_sid"] = f"CA{digest[:32]}"
        return call

    def _analysis(self) -> Mapping[str, object] | None:
        if not self.over or self.shape.failed:
            return None
        criterion = {
            "criteria_id": "solved",
            "result": self.outcome,
            "rationale": "The end of the conversation says so.",
        }
        return {
            "evaluation_criteria_results": {"solved": criterion},
            "data_collection_results": {},
            "call_successful": self.outcome,
            "transcript_summary": self.shape.script.summary,
            "call_summary_title": self.shape.script.title,
        }

    def _turn(self, index: int, turn: ScriptedTurn) -> dict[str, object]:
        by_agent = turn.role == "agent"
        files = self._files(index, turn)
        # The API added the field for several files after the one for a single file.
        several = {"file_inputs": files} if self.shape.modern else {}
        return {
            "role": turn.role,
            "agent_metadata": {"agent_id": agent_id(self.shape.agent)} if by_agent else None,
            "message": turn.text,
            "multivoice_message": None,
            "tool_calls": [_tool_call(turn.tool)] if turn.tool else [],
            "tool_results": [_tool_result(turn.returned)] if turn.returned else [],
            "feedback": None,
            "llm_override": None,
            "time_in_call_secs": int(self.shape.starts[index]),
            "conversation_turn_metrics": None,
            "rag_retrieval_info": None,
            "llm_usage": None,
            "interrupted": turn.interrupted,
            "original_message": None,
            "source_medium": None if by_agent else "text" if self.shape.text_only else "audio",
            "file_input": files[0] if files else None,
            **several,
        }


def _tool_call(name: str) -> dict[str, object]:
    return {
        "type": "system" if name.startswith("transfer") else "client",
        "request_id": f"{name}_1",
        "tool_name": name,
        "params_as_json": '{"reason":"the user asked for it"}',
        "tool_has_been_called": True,
        "tool_details": None,
    }


def _tool_result(name: str) -> dict[str, object]:
    failed = name.startswith("transfer")
    return {
        "request_id": f"{name}_1",
        "tool_name": name,
        "result_value": "Error: nobody answers" if failed else '{"leaves":"today"}',
        "is_error": failed,
        "tool_has_been_called": True,
        "tool_latency_secs": 0.3,
        "type": "client",
    }
