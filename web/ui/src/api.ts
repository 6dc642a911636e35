/** The part of `/api/v1` that the pages read. Shapes follow the public contract; fields this app does not use are left out. */

export type StreamStatus = 'idle' | 'starting' | 'live' | 'reconnecting' | 'ended' | 'error';

export interface Stream {
  id: string;
  name: string;
  title: string;
  status: StreamStatus;
  viewer_count: number;
  /** RFC 3339; null before the first broadcast. */
  started_at: string | null;
  video: { codec: string; width: number; height: number; frame_rate: number; bitrate: number } | null;
  audio: { codec: string; sample_rate: number; channels: number; bitrate: number } | null;
  playback: { hls_url: string; dash_url: string };
}

export type VideoStatus = 'live' | 'uploading' | 'processing' | 'ready' | 'failed' | 'cancelled';

export interface Video {
  id: string;
  title: string;
  description: string;
  status: VideoStatus;
  visibility: 'public' | 'unlisted' | 'private';
  source: 'recording' | 'upload' | 'clip';
  /** Hundredths. */
  progress: number;
  duration_s: number;
  height: number;
  created_at: string;
  owner: { username: string; display_name: string } | null;
  playback: { token?: string };
  /** WebVTT of small pictures, once there is one. */
  storyboard_url?: string;
  /** What it was cut from. */
  clip?: { video_id: string; start_s: number; end_s: number };
  reel: boolean;
  /** For its owner. */
  error?: string;
  bytes?: number;
}

/** Streams on air now, most interesting first as the server orders them. */
export async function listLive(signal: AbortSignal): Promise<Stream[]> {
  const response = await fetch('/api/v1/streams?status=live', { signal, headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(`stream list answered ${response.status}`);
  const page = (await response.json()) as { items: Stream[] };
  return page.items;
}

/** One stream by name or id; `null` when the server does not know it. */
export async function getStream(name: string, signal: AbortSignal): Promise<Stream | null> {
  const response = await fetch(`/api/v1/streams/${encodeURIComponent(name)}`, {
    signal,
    headers: { accept: 'application/json' },
  });
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`stream ${name} answered ${response.status}`);
  return (await response.json()) as Stream;
}
